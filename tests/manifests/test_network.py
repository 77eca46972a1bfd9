"""Who may talk to whom, worked out from the policies as the cluster would."""

from typing import Any

from objects import Pod, RenderedCheck, every_rendering, find, of_kind, pods, say, selects
from world import Object


def policies(objects: list[Object], pod: Pod, direction: str) -> list[Object]:
    """The policies that hold for a pod in a direction."""
    found = of_kind(objects, "NetworkPolicy")
    return [p for p in found if direction in p["spec"]["policyTypes"] and selects(p["spec"]["podSelector"], pod.labels)]


def port_fits(rule: dict[str, Any], port: int, names: dict[str, int]) -> bool:
    """True if a rule's ports hold this one."""
    return "ports" not in rule or any(names.get(p["port"], p["port"]) == port for p in rule["ports"])


def peer_fits(peers: list[dict[str, Any]] | None, other: Pod | None) -> bool:
    """True if a rule takes a pod of this namespace, or None: anybody outside the cluster."""
    if peers is None:
        return True
    if other is None:
        return any("ipBlock" in peer for peer in peers)
    return any(
        "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], other.labels)
        for peer in peers
    )


def may_call(objects: list[Object], caller: Pod | None, called: Pod | None, port: int) -> bool:
    """True if the policies let a caller (None: from outside) reach a port of a pod (None: of the outside)."""
    names = called.ports if called else {}
    out = caller is None or any(
        port_fits(rule, port, names) and peer_fits(rule.get("to"), called)
        for policy in policies(objects, caller, "Egress")
        for rule in policy["spec"].get("egress", [])
    )
    into = called is None or any(
        port_fits(rule, port, names) and peer_fits(rule.get("from"), caller)
        for policy in policies(objects, called, "Ingress")
        for rule in policy["spec"].get("ingress", [])
    )
    return out and into


class Network(RenderedCheck):
    """The policies of each rendering together."""

    def pod(self, objects: list[Object], name: str) -> Pod:
        """The pod of a workload."""
        return next(pod for pod in pods(objects) if pod.owner["metadata"]["name"] == name)

    @every_rendering
    def test_the_default_policy_denies_everything(self, objects: list[Object]) -> None:
        spec = find(objects, "NetworkPolicy", "deny-all")["spec"]
        self.assertEqual(spec, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})

    @every_rendering
    def test_every_policy_selects_existing_pods(self, objects: list[Object]) -> None:
        for policy in of_kind(objects, "NetworkPolicy"):
            selectors = [policy["spec"]["podSelector"]]
            for direction, peers in (("ingress", "from"), ("egress", "to")):
                for rule in policy["spec"].get(direction, []):
                    selectors += [
                        p["podSelector"]
                        for p in rule.get(peers, [])
                        if "podSelector" in p and "namespaceSelector" not in p
                    ]
            for selector in selectors:
                self.assertTrue(
                    any(selects(selector, pod.labels) for pod in pods(objects)), f"{say(policy)}: {selector}"
                )

    @every_rendering
    def test_every_named_port_of_a_policy_is_one_of_its_pods(self, objects: list[Object]) -> None:
        every = {name for pod in pods(objects) for name in pod.ports}
        for policy in of_kind(objects, "NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                for port in rule.get("ports", []):
                    self.assertTrue(isinstance(port["port"], int) or port["port"] in every, say(policy))
            for rule in policy["spec"].get("ingress", []):
                own = {
                    n for pod in pods(objects) if selects(policy["spec"]["podSelector"], pod.labels) for n in pod.ports
                }
                for port in rule.get("ports", []):
                    self.assertIn(port["port"], own, say(policy))

    @every_rendering
    def test_the_audience_reaches_tls_and_nothing_else(self, objects: list[Object]) -> None:
        # and, where a balancer has a port for it, what sends to https
        audience = find(objects, "Service", "tallycast-server")
        named = {"https"} | {port["targetPort"] for port in audience["spec"]["ports"] if port["port"] == 80}
        for pod in pods(objects):
            open_ports = {name for name, port in pod.ports.items() if may_call(objects, None, pod, port)}
            allowed = {"tallycast-server": named}.get(pod.owner["metadata"]["name"], set())
            if any(
                p["metadata"]["name"].endswith("-to-admin") and "from" not in p["spec"]["ingress"][0]
                for p in of_kind(objects, "NetworkPolicy")
                if "Ingress" in p["spec"]["policyTypes"] and p["spec"].get("ingress")
            ):
                allowed = allowed or ({"https"} if pod.owner["metadata"]["name"] == "tallycast-admin" else set())
            self.assertEqual(open_ports, allowed, say(pod.owner))

    @every_rendering
    def test_only_pods_that_use_the_ledger_reach_it(self, objects: list[Object]) -> None:
        for ledger in (pod for pod in pods(objects) if pod.owner["kind"] == "StatefulSet"):
            callers = {p.owner["metadata"]["name"] for p in pods(objects) if may_call(objects, p, ledger, 6379)}
            self.assertEqual(
                callers - {ledger.owner["metadata"]["name"]},
                {"tallycast-server", "tallycast-admin", "tallycast-worker"},
            )

    @every_rendering
    def test_jobs_reach_the_services_that_they_call(self, objects: list[Object]) -> None:
        wanted = {
            "tallycast-export": ["tallycast-admin"],
            "tallycast-purge": ["tallycast-admin"],
            "tallycast-refresh": ["tallycast-admin"],
            "tallycast-loadtest": ["tallycast-admin", "tallycast-server"],
        }
        for pod in pods(objects):
            for name in wanted.get(pod.owner["metadata"]["name"], []):
                called = self.pod(objects, name)
                self.assertTrue(may_call(objects, pod, called, called.ports["https"]), f"{say(pod.owner)} → {name}")

    @every_rendering
    def test_pods_that_call_the_outside_reach_it_by_https_only(self, objects: list[Object]) -> None:
        outward = {
            "tallycast-worker",
            "tallycast-admin",
            "tallycast-refresh",
            "tallycast-loadtest",
        }
        for pod in pods(objects):
            name = pod.owner["metadata"]["name"]
            self.assertEqual(may_call(objects, pod, None, 443), name in outward, say(pod.owner))
            self.assertFalse(may_call(objects, pod, None, 80), say(pod.owner))

    @every_rendering
    def test_every_pod_can_reach_dns(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            ports = {
                (port["protocol"], port["port"])
                for p in policies(objects, pod, "Egress")
                for r in p["spec"].get("egress", [])
                for port in r.get("ports", [])
            }
            self.assertLessEqual({("UDP", 53), ("TCP", 53)}, ports, say(pod.owner))

    @every_rendering
    def test_only_prometheus_reaches_the_metrics(self, objects: list[Object]) -> None:
        for pod in (p for p in pods(objects) if "metrics" in p.ports):
            peers = [
                peer
                for policy in policies(objects, pod, "Ingress")
                for rule in policy["spec"].get("ingress", [])
                if port_fits(rule, pod.ports["metrics"], pod.ports)
                for peer in rule.get("from", [None])
            ]
            self.assertEqual(
                peers,
                [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                say(pod.owner),
            )
