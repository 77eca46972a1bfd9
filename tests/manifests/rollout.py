"""A namespace in simulated time: Deployments, their ReplicaSets, pods that start and go, the quota, and nodes.

What is simulated is what Kubernetes documents and does:

- A Deployment with `maxUnavailable: 0` adds new pods as far as `maxSurge` allows, counting pods that are wanted. Pods
  that are being terminated do not count for it, so there are more of them than `maxSurge` says.
- A pod is available when it has been ready for `minReadySeconds`; the controller looks a second later.
- The quota counts a pod until it is gone, also while it terminates.
- A ReplicaSet whose pod is refused tries again after 5 ms, then twice as long each time; at once if one of its own pods
  changes. The end of a pod of another ReplicaSet does not wake it.
- A pod waits without a node until one has room for its requests.

Nothing about it is random, but for the choice among nodes that are equally empty.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from objects import Pod as Template
from objects import cores, mebibytes
from world import Object

Demand = dict[str, float]

TICK = 0.5
# Containers start, TLS works, Redis answers, and the readiness probe has run.
START_SECONDS = 3.5
# Until a controller looks again at a pod whose minReadySeconds are over.
REQUEUE_SECONDS = 1.0
FIRST_RETRY_SECONDS = 0.005
LAST_RETRY_SECONDS = 1000.0


def per_container(container: dict[str, Any]) -> Demand:
    """What one container counts for, in the words of a quota; memory in MiB."""
    return {
        f"{kind}.{what}": measure(container["resources"][kind][what])
        for kind in ("requests", "limits")
        for what, measure in (("cpu", cores), ("memory", mebibytes))
    }


def demand(template: Template) -> Demand:
    """What a pod counts for: what runs side by side together, what only prepares by its largest."""
    side_by_side = list(template.spec["containers"])
    before: list[dict[str, Any]] = []
    for container in template.spec.get("initContainers", []):
        (side_by_side if container.get("restartPolicy") == "Always" else before).append(container)
    total = {key: sum(per_container(c)[key] for c in side_by_side) for key in per_container(side_by_side[0])}
    for container in before:
        total = {key: max(value, per_container(container)[key]) for key, value in total.items()}
    return total | {"pods": 1.0}


def quota(objects: list[Object]) -> Demand:
    """What the quota of a rendering allows, as far as pods count for it."""
    hard = next(o for o in objects if o["kind"] == "ResourceQuota")["spec"]["hard"]
    keys = ("pods", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
    return {key: (mebibytes if key.endswith("memory") else cores)(hard[key]) for key in keys}


@dataclass(eq=False)
class Pod:
    """A pod from its creation until it is gone."""

    demand: Demand
    node: int | None = None
    ready_at: float | None = None
    gone_at: float | None = None

    @property
    def leaving(self) -> bool:
        """Being terminated."""
        return self.gone_at is not None


@dataclass(eq=False)
class ReplicaSet:
    """The pods of one revision."""

    wanted: int = 0
    pods: list[Pod] = field(default_factory=list)
    failures: int = 0
    retry_at: float = 0.0

    def active(self) -> list[Pod]:
        """Those that are not being terminated."""
        return [pod for pod in self.pods if not pod.leaving]


@dataclass(eq=False)
class Deployment:
    """A Deployment as it is rendered, at some number of replicas."""

    name: str
    replicas: int
    demand: Demand
    surge: int | str
    min_ready: float
    sets: list[ReplicaSet] = field(default_factory=lambda: [ReplicaSet()])
    # How many pods there might be in all when it was scaled last.
    allowed: int = 0

    @classmethod
    def of(cls, template: Template, replicas: int) -> "Deployment":
        """From its manifest; the number may be another one."""
        spec = template.owner["spec"]
        strategy = spec["strategy"]["rollingUpdate"]
        assert strategy["maxUnavailable"] == 0, "another choice is not simulated"
        name = template.owner["metadata"]["name"]
        return cls(name, replicas, demand(template), strategy["maxSurge"], float(spec["minReadySeconds"]))

    @property
    def extra(self) -> int:
        """How many pods more than wanted there may be."""
        if isinstance(self.surge, int):
            return self.surge
        return math.ceil(self.replicas * int(self.surge.rstrip("%")) / 100)

    @property
    def newest(self) -> ReplicaSet:
        """The revision that is rolled out."""
        return self.sets[-1]

    def roll_out(self) -> None:
        """Another revision."""
        self.sets.append(ReplicaSet())

    def scale(self, replicas: int) -> None:
        """Another number. In the middle of a rollout each revision gets its share of the change."""
        self.replicas = replicas
        active = [s for s in self.sets if s.wanted]
        if len(active) <= 1:
            (active or [self.newest])[0].wanted = replicas
        else:
            self.share(active)
        self.allowed = replicas + self.extra
        for revision in self.sets:
            revision.retry_at = 0.0

    def share(self, active: list[ReplicaSet]) -> None:
        """Spreads a change over revisions by their size, the largest first."""
        allowed = self.replicas + self.extra
        left = allowed - sum(s.wanted for s in active)
        active.sort(key=lambda s: -s.wanted)
        for revision in active:
            change = round(revision.wanted * allowed / self.allowed) - revision.wanted
            change = max(min(change, left), 0) if left > 0 else min(max(change, left), 0)
            revision.wanted += change
            left -= change
        active[0].wanted = max(0, active[0].wanted + left)


@dataclass
class Namespace:
    """All of it, and what was seen."""

    deployments: list[Deployment]
    # Pods that are there the whole time: Redis, jobs.
    others: list[Demand]
    quota: Demand | None = None
    # How long a pod takes to go.
    goodbye: float = 19.0
    # CPU and memory that each node has for these pods; None: there is always room.
    nodes: list[tuple[float, float]] | None = None
    seed: int = 0

    now: float = 0.0
    refused: int = 0
    peak: Demand = field(default_factory=dict)
    # The most pods of all, by name of their Deployment.
    most: dict[str, int] = field(default_factory=dict)
    # Deployments that had fewer available pods than they want.
    short: set[str] = field(default_factory=set)
    # Seconds in which some pod had no node.
    waited: float = 0.0
    has_grown: bool = True

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        for deployment in self.deployments:
            deployment.scale(deployment.replicas)
        self.fixed = [Pod(other, ready_at=0.0) for other in self.others]
        self.place(self.fixed)
        self.fits = self.until_settled(600) is not None
        self.now, self.refused, self.waited, self.peak, self.most, self.short = 0.0, 0, 0.0, {}, {}, set()
        self.has_grown = True
        # older pods became ready long ago
        for pod in self.pods():
            pod.ready_at = -1e6

    def pods(self) -> Iterator[Pod]:
        """All that are not gone, Redis and jobs too."""
        yield from self.fixed
        for deployment in self.deployments:
            for revision in deployment.sets:
                yield from revision.pods

    def used(self) -> Demand:
        """What counts for the quota now."""
        total: Demand = {}
        for pod in self.pods():
            for key, value in pod.demand.items():
                total[key] = total.get(key, 0.0) + value
        return total

    def available(self, deployment: Deployment, revision: ReplicaSet) -> int:
        """Pods that have been ready for long enough."""
        for_so_long = deployment.min_ready + REQUEUE_SECONDS
        return sum(p.ready_at is not None and p.ready_at + for_so_long <= self.now for p in revision.active())

    def until_settled(self, seconds: float, at: dict[float, Callable[[], object]] | None = None) -> float | None:
        """Runs until everything is as it is wanted, with things done at given times, and gives the seconds that it took;
        None if it never is."""
        planned = dict(at or {})
        begun = self.now
        while self.now < begun + seconds:
            for moment in [m for m in sorted(planned) if begun + m <= self.now]:
                planned.pop(moment)()
            self.step()
            if not planned and self.is_settled():
                return self.now - begun
            self.now += TICK
        return None

    def is_settled(self) -> bool:
        """True if each Deployment has exactly what it wants, of its newest revision, and none is ending."""
        for deployment in self.deployments:
            available = self.available(deployment, deployment.newest)
            if available != deployment.replicas or sum(len(s.pods) for s in deployment.sets) != available:
                return False
        return True

    def step(self) -> None:
        """One tick: pods, then ReplicaSets, then Deployments, then ReplicaSets again."""
        for deployment in self.deployments:
            for revision in deployment.sets:
                self.age(revision)
        for deployment in self.deployments:
            self.manage(deployment)
            for revision in deployment.sets:
                self.fill(deployment, revision)
            deployment.sets = [s for s in deployment.sets if s.wanted or s.pods or s is deployment.newest]
        if waiting := [pod for pod in self.pods() if pod.node is None]:
            self.place(waiting)
        self.look()

    def look(self) -> None:
        """Records the state for later queries."""
        if self.has_grown:
            for key, value in self.used().items():
                self.peak[key] = max(self.peak.get(key, 0.0), value)
            self.has_grown = False
        for deployment in self.deployments:
            count = sum(len(revision.pods) for revision in deployment.sets)
            self.most[deployment.name] = max(self.most.get(deployment.name, 0), count)
            there = sum(self.available(deployment, revision) for revision in deployment.sets)
            if there < deployment.replicas:
                self.short.add(deployment.name)
        if any(pod.node is None for pod in self.pods()):
            self.waited += TICK

    def age(self, revision: ReplicaSet) -> None:
        """Pods become ready, and go."""
        gone = [pod for pod in revision.pods if pod.gone_at is not None and pod.gone_at <= self.now]
        for pod in gone:
            revision.pods.remove(pod)
        woken = [p for p in revision.active() if p.ready_at is not None and self.now - TICK < p.ready_at <= self.now]
        if gone or woken:
            revision.retry_at = self.now

    def fill(self, deployment: Deployment, revision: ReplicaSet) -> None:
        """The work of a ReplicaSet: the wanted number of pods."""
        active = revision.active()
        if len(active) > revision.wanted:
            # pods that are not ready first, then the youngest
            order = sorted(active, key=lambda pod: -math.inf if pod.ready_at is None else -pod.ready_at)
            for pod in order[: len(active) - revision.wanted]:
                pod.gone_at = self.now + self.goodbye
        elif len(active) < revision.wanted and revision.retry_at <= self.now:
            for _ in range(revision.wanted - len(active)):
                if not self.create(deployment, revision):
                    revision.retry_at = self.now
                    while revision.retry_at < self.now + TICK:
                        revision.retry_at += min(FIRST_RETRY_SECONDS * 2**revision.failures, LAST_RETRY_SECONDS)
                        revision.failures += 1
                        self.refused += 1
                    return
            revision.failures = 0

    def create(self, deployment: Deployment, revision: ReplicaSet) -> bool:
        """A pod more, if the quota allows it."""
        if self.quota:
            used = self.used()
            if any(used.get(key, 0.0) + deployment.demand[key] > hard + 1e-9 for key, hard in self.quota.items()):
                return False
        revision.pods.append(Pod(deployment.demand))
        self.has_grown = True
        return True

    def place(self, pods: list[Pod]) -> None:
        """The scheduler: the emptiest node that has room. A pod begins to start when it has one."""
        if self.nodes is None:
            for pod in pods:
                self.begin(pod, 0)
            return
        free = [list(node) for node in self.nodes]
        for pod in self.pods():
            if pod.node is not None:
                free[pod.node][0] -= pod.demand["requests.cpu"]
                free[pod.node][1] -= pod.demand["requests.memory"]
        for pod in pods:
            cpu, memory = pod.demand["requests.cpu"], pod.demand["requests.memory"]
            fits = [n for n, (c, m) in enumerate(free) if c + 1e-9 >= cpu and m + 1e-9 >= memory]
            if pod.leaving or not fits:
                continue
            best = max(fits, key=lambda n: (round(free[n][0] / self.nodes[n][0], 1), self.random.random()))
            free[best][0] -= cpu
            free[best][1] -= memory
            self.begin(pod, best)

    def begin(self, pod: Pod, node: int) -> None:
        """A pod has a node."""
        pod.node = node
        if pod.ready_at is None:
            pod.ready_at = self.now + START_SECONDS

    def manage(self, deployment: Deployment) -> None:
        """The Deployment's controller."""
        newest, old = deployment.newest, [s for s in deployment.sets[:-1] if s.wanted]
        total = newest.wanted + sum(s.wanted for s in old)
        if newest.wanted != deployment.replicas:
            room = deployment.replicas + deployment.extra - total
            wanted = newest.wanted + max(0, min(room, deployment.replicas - newest.wanted))
            if newest.wanted > deployment.replicas:
                wanted = deployment.replicas
            if wanted != newest.wanted:
                newest.wanted = wanted
                newest.retry_at = self.now
                return
        spare = total - deployment.replicas - (newest.wanted - self.available(deployment, newest))
        for revision in old:
            # pods that are not available first
            idle = min(spare, revision.wanted - self.available(deployment, revision))
            if idle > 0:
                revision.wanted -= idle
                spare -= idle
        for revision in old:
            there = sum(self.available(deployment, s) for s in deployment.sets)
            step = max(0, min(spare, revision.wanted, there - deployment.replicas))
            if step:
                revision.wanted -= step
                spare -= step
                self.fill(deployment, revision)
