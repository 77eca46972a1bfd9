"""What the shipped autoscalers do in a show: simulated by autoscaler.py with their own numbers."""

import copy
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import world
from autoscaler import Autoscaler, Values, hpa_spec
from objects import RenderedCheck, cores, of_kind, pods, say
from world import Object

SESSIONS, COMMITS = "tallycast_sessions_pods", "tallycast_commits_pods"
CAPACITY = 10_000
HOUR = 3600


def requested(objects: list[Object]) -> float:
    """Cores that a server pod requests."""
    template = next(p for p in pods(objects) if say(p.owner) == "Deployment tallycast-server")
    return sum(cores(c["resources"]["requests"]["cpu"]) for c in template.containers)


def sizes() -> dict[int, tuple[float, float]]:
    """Cores of the server and of nginx by voters of a pod, from the table of manifests/README.md."""
    text = world.current().file("manifests/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| \d+ MiB \| \d+ MiB \|", text, re.MULTILINE)
    return {int(voters.replace(",", "")): (float(server), float(nginx)) for voters, server, nginx in rows}


def hall(voters: float, voting: bool = True) -> Values:
    """What the metrics say of a hall. One that votes uses CPU as the table says."""
    server, nginx = sizes()[6_000]
    cpu = voters / 6_000 * (server + nginx)
    return {SESSIONS: voters / CAPACITY, COMMITS: 0.0, "cpu": cpu if voting else cpu / 10}


def without(values: Values, *names: str) -> Values:
    """Some metrics are missing."""
    return values | dict.fromkeys(names)


Check = Callable[["Scaling", Callable[..., Autoscaler]], None]


def both_ways(check: Check) -> Callable[["Scaling"], None]:
    """Once with KEDA and once with a plain HorizontalPodAutoscaler."""

    @wraps(check)
    def of_both(self: "Scaling") -> None:
        scalers = 0
        for name, objects in world.current().renderings.items():
            for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
                scalers += 1

                cpu, shipped = requested(objects), hpa_spec(scaler)

                def start(count: int, held: bool = False, cpu: float = cpu, shipped: Any = shipped) -> Autoscaler:
                    spec = copy.deepcopy(shipped)
                    if held:
                        # what scripts/hold.sh patches
                        spec["behavior"]["scaleDown"]["selectPolicy"] = "Disabled"
                    return Autoscaler(spec, cpu, count)

                with self.subTest(rendering=name):
                    check(self, start)
        self.assertGreater(scalers, 0, "nothing scales")

    return of_both


class Scaling(RenderedCheck):
    """Of server pods."""

    @both_ways
    def test_a_number_set_by_hand_is_reverted_unless_it_is_held(self, start: Callable[..., Autoscaler]) -> None:
        scaler = start(3)
        scaler.run(HOUR // 6, hall(0))
        scaler.pods = 8
        # as it was seen: the first within 15 s, then one a minute
        self.assertEqual(scaler.run(15, hall(0)), [7])
        self.assertEqual(scaler.run(240, hall(0))[3::4], [6, 5, 4, 3])

    @both_ways
    def test_a_held_number_stays_for_a_show_and_can_still_grow(self, start: Callable[..., Autoscaler]) -> None:
        scaler = start(3, held=True)
        scaler.run(HOUR // 6, hall(0))
        scaler.pods = 8
        self.assertEqual(set(scaler.run(3 * HOUR, hall(0))), {8}, "three hours of an empty hall")
        self.assertEqual(scaler.run(60, hall(64_000))[-1], 11, "more come than anybody thought")
        self.assertEqual(set(scaler.run(HOUR, hall(1_000))), {11}, "most leave")
        scaler.spec["behavior"]["scaleDown"]["selectPolicy"] = "Max"
        self.assertEqual(scaler.run(HOUR, hall(0))[-1], 3, "let go")

    @both_ways
    def test_without_prometheus_it_scales_up_by_cpu_and_never_down(self, start: Callable[..., Autoscaler]) -> None:
        scaler = start(3)
        blind = (SESSIONS, COMMITS)
        self.assertEqual(scaler.run(300, without(hall(50_000), *blind))[-1], 9, "50,000 voters vote")
        self.assertEqual(set(scaler.run(HOUR, without(hall(0), *blind))), {9})
        # Prometheus is back
        self.assertEqual(scaler.run(HOUR, hall(0))[-1], 3)

    @both_ways
    def test_without_metrics_server_it_scales_up_by_sessions_and_never_down(
        self, start: Callable[..., Autoscaler]
    ) -> None:
        scaler = start(3)
        self.assertEqual(scaler.run(300, without(hall(50_000), "cpu"))[-1], 9)
        self.assertEqual(set(scaler.run(HOUR, without(hall(0), "cpu"))), {9})

    @both_ways
    def test_cpu_requests_a_pod_when_sessions_do_and_before_one_is_full(self, start: Callable[..., Autoscaler]) -> None:
        scaler = start(3)
        for count in range(3, 13):
            for voters in (0.9, 1.0, 1.2):
                scaler.pods = count
                values = hall(voters * 6_000 * count)
                wishes = [scaler.wish(metric, values) for metric in scaler.spec["metrics"]]
                by_sessions, _, by_cpu = (wish or 0 for wish in wishes)
                self.assertLessEqual(abs(by_cpu - by_sessions), 1, f"{values} with {count} pods")
        # each pod is full, judged by its CPU
        server, nginx = sizes()[CAPACITY]
        full: Values = {SESSIONS: None, COMMITS: None, "cpu": 3 * (server + nginx)}
        scaler.pods = 3
        self.assertGreater(scaler.decide(full), 4)

    @both_ways
    def test_an_audience_that_only_watches_is_scaled_by_sessions(self, start: Callable[..., Autoscaler]) -> None:
        quiet = hall(30_000, voting=False)
        self.assertEqual(start(3).run(300, quiet)[-1], 5)
        self.assertEqual(start(3).run(300, without(quiet, SESSIONS, COMMITS))[-1], 3, "docs/operations.md says so")
