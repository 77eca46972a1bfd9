"""The HorizontalPodAutoscaler as it is documented, in simulated time.

https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale: each metric wants a number of pods and
the largest counts; within the tolerance nothing changes; where a metric is missing nothing is taken away. Then the
largest wish of the stabilisation window counts for scaling down, and policies say how fast. Numbers that people set are
not moves of its own: no policy counts them.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from world import Object

TOLERANCE = 0.1
SYNC_SECONDS = 15
# What the metrics say now: by name, None while it is missing. CPU is what all pods use together, in cores.
Values = dict[str, float | None]


def hpa_spec(scaler: Object) -> dict[str, Any]:
    """The spec of a HorizontalPodAutoscaler, also of the one that KEDA would make of a ScaledObject."""
    spec = scaler["spec"]
    if scaler["kind"] == "HorizontalPodAutoscaler":
        return spec
    metrics: list[dict[str, Any]] = []
    for trigger in spec["triggers"]:
        if trigger["type"] == "cpu":
            target = {"type": "Utilization", "averageUtilization": int(trigger["metadata"]["value"])}
            metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
        else:
            target = {"type": trigger["metricType"], "averageValue": trigger["metadata"]["threshold"]}
            metric = {"name": f"tallycast_{trigger['name']}_pods"}
            metrics.append({"type": "External", "external": {"metric": metric, "target": target}})
    return {
        "minReplicas": spec["minReplicaCount"],
        "maxReplicas": spec["maxReplicaCount"],
        "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        "metrics": metrics,
    }


@dataclass
class Autoscaler:
    """One autoscaler and the number of its pods."""

    spec: dict[str, Any]
    # Cores that a pod requests.
    requested: float
    pods: int
    now: int = 0
    wishes: list[tuple[int, int]] = field(default_factory=list)
    moves: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wishes.append((self.now, self.pods))

    def run(self, seconds: int, values: Values) -> list[int]:
        """The number of pods after each look at the metrics, which stay as they are."""
        course: list[int] = []
        for _ in range(seconds // SYNC_SECONDS):
            self.now += SYNC_SECONDS
            self.pods = self.decide(values)
            course.append(self.pods)
        return course

    def wish(self, metric: dict[str, Any], values: Values) -> int | None:
        """How many pods one metric wants; None if it is missing."""
        if metric["type"] == "External":
            value = values[metric["external"]["metric"]["name"]]
            per_pod = float(metric["external"]["target"]["averageValue"])
        else:
            value = values["cpu"]
            per_pod = metric["resource"]["target"]["averageUtilization"] / 100 * self.requested
        if value is None:
            return None
        if abs(value / per_pod / self.pods - 1) <= TOLERANCE:
            return self.pods
        return math.ceil(round(value / per_pod, 9))

    def decide(self, values: Values) -> int:
        """The number of pods to have now."""
        least, most = self.spec["minReplicas"], self.spec["maxReplicas"]
        if self.pods == 0 or not least <= self.pods <= most:
            return min(max(self.pods, least), most) if self.pods else 0
        wishes = [self.wish(metric, values) for metric in self.spec["metrics"]]
        known = [wish for wish in wishes if wish is not None]
        wanted = max(known, default=0)
        if not known or (len(known) < len(wishes) and wanted < self.pods):
            return self.pods
        up, down = (self.spec["behavior"][way] for way in ("scaleUp", "scaleDown"))
        lately = [wanted, *(w for at, w in self.wishes if self.now - at < up["stabilizationWindowSeconds"])]
        before = [wanted, *(w for at, w in self.wishes if self.now - at < down["stabilizationWindowSeconds"])]
        self.wishes.append((self.now, wanted))
        steady = min(max(self.pods, min(lately)), max(before))
        decided = min(max(self.limited(steady, up if steady > self.pods else down), least), most)
        if decided != self.pods:
            self.moves.append((self.now, decided - self.pods))
        return decided

    def limited(self, wanted: int, rules: dict[str, Any]) -> int:
        """As far as the policies of this direction let it go."""
        select = rules.get("selectPolicy", "Max")
        sign = 1 if wanted > self.pods else -1
        if wanted == self.pods or select == "Disabled":
            return self.pods
        reach: list[int] = []
        for policy in rules["policies"]:
            start = self.pods - sum(by for at, by in self.moves if self.now - at < policy["periodSeconds"])
            step = policy["value"] * (start / 100 if policy["type"] == "Percent" else 1)
            reach.append(math.ceil(start + sign * step))
        assert select == "Max", "another choice is not simulated"
        furthest = max(reach) if sign > 0 else min(reach)
        return max(self.pods, min(wanted, furthest)) if sign > 0 else min(self.pods, max(wanted, furthest))
