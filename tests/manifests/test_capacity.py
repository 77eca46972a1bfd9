"""Quota, surge, minReadySeconds and nodes against each other: what a rollout and a scaling really take."""

import functools
import re
import tomllib
from dataclasses import dataclass, replace

import world
from objects import RenderedCheck, every_rendering, of_kind, pods, say
from rollout import Demand, Deployment, Namespace, demand, quota
from world import Object

SERVER = "tallycast-server"
SCALERS = ("ScaledObject", "HorizontalPodAutoscaler")
# After preStop and the drain: stuck clients are left.
REST_SECONDS = 4
# A node of 4 cores and 16 GiB: what the kubelet offers, less what the cluster's own pods request on each node.
# docs/operations.md says the same.
NODE_CORES = 3.7 - 0.3
NODE_MEBIBYTES = 13000.0
# The scheduler's choice among equally empty nodes is drawn this often.
DRAWS = 20
# No key of the quota may be larger than this times what is needed.
SLACK = 1.1


@dataclass(frozen=True)
class Facts:
    """What a rendering says about room, without its jobs or with them."""

    deployments: tuple[tuple[tuple[str, float], ...], ...]
    names: tuple[str, ...]
    replicas: tuple[int, ...]
    surges: tuple[int | str, ...]
    min_ready: tuple[float, ...]
    others: tuple[tuple[tuple[str, float], ...], ...]

    def namespace(self, goodbye: float, hard: Demand | None = None, **more: object) -> Namespace:
        """A namespace in which all of it runs."""
        made = [
            Deployment(name, replicas, dict(wants), surge, ready)
            for name, replicas, wants, surge, ready in zip(
                self.names, self.replicas, self.deployments, self.surges, self.min_ready, strict=True
            )
        ]
        return Namespace(made, [dict(other) for other in self.others], hard, goodbye, **more)  # type: ignore[arg-type]


def facts(objects: list[Object], servers: int, jobs: bool = True) -> Facts:
    """Reads a rendering. Without an autoscaler too the number of servers is the given one."""
    made: list[Deployment] = []
    others: list[tuple[tuple[str, float], ...]] = []
    for template in pods(objects):
        count = template.owner["spec"].get("replicas", 1)
        if template.owner["kind"] == "Deployment":
            made.append(Deployment.of(template, servers if template.owner["metadata"]["name"] == SERVER else count))
        elif template.owner["kind"] == "StatefulSet" or jobs:
            others += [tuple(demand(template).items())] * count
    return Facts(
        tuple(tuple(d.demand.items()) for d in made),
        tuple(d.name for d in made),
        tuple(d.replicas for d in made),
        tuple(d.surge for d in made),
        tuple(d.min_ready for d in made),
        tuple(others),
    )


def largest() -> int:
    """The most servers that an autoscaler makes of it."""
    scalers = [o["spec"] for objects in world.current().renderings.values() for o in of_kind(objects, *SCALERS)]
    return max((s.get("maxReplicaCount") or s["maxReplicas"] for s in scalers), default=12)


def goodbye(objects: list[Object]) -> tuple[float, float]:
    """How long a server pod takes to go: usually, and at the very worst."""
    stage = tomllib.loads(world.current().file("config/production.toml").read_text(encoding="utf-8"))
    spec = next(p.spec for p in pods(objects) if say(p.owner) == f"Deployment {SERVER}")
    sleep = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    return sleep + stage["server"]["drain_ms"] / 1000 + REST_SECONDS, float(spec["terminationGracePeriodSeconds"])


@dataclass(frozen=True)
class Run:
    """What came of something that was done."""

    what: str
    took: float | None
    refused: int
    peak: tuple[tuple[str, float], ...]
    servers: int
    short: tuple[str, ...]
    # Whether it only replaces pods, so that there may never be too few.
    keeps: bool
    # Two things at once, of which the second may have to wait for room. Not for ever.
    may_wait: bool


@functools.cache
def runs(room: Facts, seconds: float, hard: tuple[tuple[str, float], ...] | None, worst: bool) -> list[Run]:
    """Everything that an operator does in earnest, each in a namespace of its own."""
    done: list[Run] = []

    def run(what: str, *steps: tuple[float, str], keeps: bool = False, may_wait: bool = False) -> None:
        space = room.namespace(seconds, dict(hard) if hard else None)
        server = next(d for d in space.deployments if d.name == SERVER)
        least, most = 3, server.replicas

        def do(step: str) -> None:
            match step:
                case "rollout":
                    for deployment in space.deployments:
                        deployment.roll_out()
                case "fewer":
                    server.scale(least)
                case "more":
                    server.scale(most)

        took = space.until_settled(900, {at: functools.partial(do, step) for at, step in steps})
        peak = tuple(space.peak.items())
        done.append(Run(what, took, space.refused, peak, space.most[SERVER], tuple(space.short), keeps, may_wait))

    run("a rollout of all Deployments", (0, "rollout"), keeps=True)
    run("scaled to 3 and back within 5 s", (0, "fewer"), (5, "more"))
    for at in (10, 30, 50, 80):
        run(f"a rollout, taken back after {at} s", (0, "rollout"), (at, "rollout"), keeps=True, may_wait=worst)
    for at in (20, 40, 60):
        name = f"a rollout, and after {at} s of it scaled to 3 and back within 5 s"
        run(name, (0, "rollout"), (at, "fewer"), (at + 5, "more"), may_wait=True)
    return done


def all_runs(objects: list[Object], hard: Demand | None) -> list[Run]:
    """With the usual goodbye and with the worst one."""
    usual, worst = goodbye(objects)
    room, limit = facts(objects, largest()), tuple(hard.items()) if hard else None
    return runs(room, usual, limit, False) + runs(room, worst, limit, True)


class Capacity(RenderedCheck):
    """Simulated: rollout.py says how."""

    def test_the_simulation_agrees_with_a_real_control_plane(self) -> None:
        # Measured with kube-apiserver, controller-manager and scheduler 1.36: 12 servers, maxSurge 25 %, all Deployments
        # at once. Without a quota and with minReadySeconds 5: 33.45 cores, of which 21 servers are 31.5.
        room = facts(world.current().renderings["overlay production"], 12, jobs=False)
        for min_ready, servers, peak in ((5.0, 21, 33.45), (20.0, 18, None)):
            space = replace(room, min_ready=(min_ready,) * 3).namespace(19.0)
            for deployment in space.deployments:
                deployment.roll_out()
            space.until_settled(900)
            self.assertEqual(space.most[SERVER], servers, f"minReadySeconds {min_ready}")
            if peak:
                # the worker ended sooner there than a server does: one pod of 0.05 cores and 1700Mi less
                self.assertAlmostEqual(space.peak["requests.cpu"], peak + 0.05, places=6)
                self.assertEqual(space.peak["limits.cpu"], 103 + 1)
                self.assertEqual(space.peak["limits.memory"], 66700 + 1700)
        # the quota that there was then refused pods in six rollouts of six with 5 s, and in none with 20 s
        hard = {"pods": 40.0, "requests.cpu": 32.0, "requests.memory": 24576.0}
        hard |= {"limits.cpu": 96.0, "limits.memory": 73728.0}
        for min_ready, is_refused in ((5.0, True), (20.0, False)):
            space = replace(room, min_ready=(min_ready,) * 3).namespace(19.0, hard)
            for deployment in space.deployments:
                deployment.roll_out()
            space.until_settled(900)
            self.assertEqual(space.refused > 0, is_refused, f"minReadySeconds {min_ready}")

    @every_rendering
    def test_no_pod_is_refused_by_the_quota_in_a_rollout_or_a_scaling(self, objects: list[Object]) -> None:
        for run in all_runs(objects, quota(objects)):
            if not run.may_wait:
                self.assertEqual(run.refused, 0, f"{run.what}: {run.servers} servers, {dict(run.peak)}")
            self.assertIsNotNone(run.took, f"{run.what} does not end by itself")
            if run.keeps:
                self.assertEqual(run.short, (), f"{run.what} leaves too few pods")

    def test_the_quota_allows_little_more_than_that(self) -> None:
        found = world.current().renderings
        need: Demand = {}
        for objects in found.values():
            for run in (run for run in all_runs(objects, quota(objects)) if not run.may_wait):
                need = {key: max(value, need.get(key, 0.0)) for key, value in run.peak}
        for name, objects in found.items():
            for key, hard in quota(objects).items():
                self.assertLessEqual(hard, SLACK * need[key], f"{name}: {key}, of which {need[key]:.2f} are needed")

    def test_the_documented_working_is_what_is_simulated(self) -> None:
        text = world.current().file("manifests/README.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| .* \| (12[ +a-z\d]*) \| ([\d.]+) \| *(?:\*\*(\d+)\*\*)? *\|$", text, re.MULTILINE)
        written = [(sum(map(int, re.findall(r"\d+", servers))), float(used)) for servers, used, _ in rows]
        found = world.current().renderings
        usual = found["overlay production"]
        sentinel = next(o for name, o in found.items() if name.startswith("production ") and "sentinel" in name)

        def most(objects: list[Object], what: str, worst: bool = False) -> tuple[int, float]:
            done = all_runs(objects, quota(objects))
            half = done[len(done) // 2 :] if worst else done[: len(done) // 2]
            fitting = [run for run in half if run.what.startswith(what)]
            return max((run.servers, round(dict(run.peak)["requests.cpu"] + 1e-9, 1)) for run in fitting)

        still = facts(usual, largest()).namespace(19.0)
        simulated = [
            (largest(), round(still.used()["requests.cpu"] + 1e-9, 1)),
            most(usual, "a rollout of all Deployments"),
            most(usual, "scaled to 3 and back"),
            most(usual, "a rollout, taken back"),
            most(usual, "a rollout of all Deployments", worst=True),
            most(sentinel, "a rollout of all Deployments", worst=True),
        ]
        self.assertEqual(written, simulated, "manifests/README.md, what a rollout takes on top")
        self.assertEqual(float(rows[-1][2]), quota(usual)["requests.cpu"])

    @every_rendering
    def test_a_batch_of_old_pods_is_gone_before_the_next_one_goes(self, objects: list[Object]) -> None:
        usual, _ = goodbye(objects)
        for item in of_kind(objects, "Deployment"):
            self.assertGreater(item["spec"]["minReadySeconds"], usual, say(item))

    def documented(self) -> list[tuple[str, str, str]]:
        """Voters, server pods and nodes as docs/operations.md says."""
        text = world.current().file("docs/operations.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| ([\d,]+) \| (\d+) \| (\d+) \|", text, re.MULTILINE)
        self.assertGreaterEqual(len(rows), 5, "docs/operations.md has a table of voters, server pods and nodes")
        return rows

    def test_the_cluster_command_creates_the_documented_nodes(self) -> None:
        text = world.current().file("docs/cluster.md").read_text(encoding="utf-8")
        said = re.search(r"(\d+) nodes with 4 cores each, .*? up to ([\d,]+) voters,\s+(\d+)\s+for\s+([\d,]+)", text)
        self.assertIsNotNone(said, "docs/cluster.md says how many nodes")
        assert said
        nodes = {voters: nodes for voters, _, nodes in self.documented()}
        self.assertEqual({said[2]: said[1], said[4]: said[3]}, {voters: nodes[voters] for voters in (said[2], said[4])})

    def test_the_documented_nodes_have_room_for_a_rollout(self) -> None:
        objects = world.current().renderings["overlay production"]
        usual, worst = goodbye(objects)
        for voters, servers, nodes in self.documented():
            room = facts(objects, int(servers))
            for seconds, seed in [(usual, seed) for seed in range(DRAWS)] + [(worst, 0)]:
                there = [(NODE_CORES, NODE_MEBIBYTES)] * int(nodes)
                space = room.namespace(seconds, nodes=there, seed=seed)
                self.assertTrue(space.fits, f"{voters} voters: {servers} servers do not fit on {nodes} nodes")
                for deployment in space.deployments:
                    deployment.roll_out()
                took = space.until_settled(900)
                self.assertIsNotNone(took, f"{voters} voters: a rollout of {servers} servers stands still on {nodes} nodes")
                self.assertEqual(space.short, set(), f"{voters} voters on {nodes} nodes")
