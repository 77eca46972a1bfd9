"""What names something names something that is there."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import world
from objects import Pod, RenderedCheck, every_rendering, find, of_kind, pods, say, selects, walk
from world import Object

# Secrets that are not in the tree, and their keys: made by hand, by External Secrets, Sealed Secrets, SOPS or
# cert-manager. manifests/README.md has the same list.
SECRETS = {
    "tallycast": {
        "server-secret",
        "emcee-key",
        "webhook-url",
        "loadtest-upload",
        *(f"redis-{user}" for user in ("tallycast", "audience", "monitor", "replica", "sentinel")),
    },
    "tallycast-tls": {"tls.crt", "tls.key"},
    "tallycast-ca": {"ca.crt"},
    "tallycast-production": {"emcee-key"},
}
# Cluster-wide things that the operator of the cluster provides.
PROVIDED = {("ClusterIssuer", "letsencrypt"), ("ClusterSecretStore", "secrets")}


def references(pod: Pod) -> Iterator[tuple[str, str, set[str]]]:
    """Kind, name and keys of the ConfigMaps and Secrets that a pod wants."""
    for container in pod.containers:
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                yield "ConfigMap", source["configMapRef"]["name"], set()
            if "secretRef" in source:
                yield "Secret", source["secretRef"]["name"], set()
        for variable in container.get("env", []):
            for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if wanted := variable.get("valueFrom", {}).get(key):
                    yield kind, wanted["name"], {wanted["key"]}
    for volume in pod.spec.get("volumes", []):
        if wanted := volume.get("configMap"):
            yield "ConfigMap", wanted["name"], {item["key"] for item in wanted.get("items", [])}
        if wanted := volume.get("secret"):
            yield "Secret", wanted["secretName"], {item["key"] for item in wanted.get("items", [])}


def names(objects: list[Object], *kinds: str) -> set[str]:
    """The names of the objects of some kinds."""
    return {item["metadata"]["name"] for item in of_kind(objects, *kinds)}


def public_names(objects: list[Object]) -> list[tuple[str, str]]:
    """Owner and name of everything that says under which name the audience or the emcee comes."""
    found = []
    for route in of_kind(objects, "TLSRoute", "HTTPRoute"):
        found += [(say(route), name) for name in route["spec"]["hostnames"]]
    for service in of_kind(objects, "Service"):
        annotations = service["metadata"].get("annotations", {})
        found += [(say(service), name) for key, name in annotations.items() if key.endswith("/hostname")]
    return found


# Fields that Kubernetes does not allow to change.
STATEFUL_SET_MAY_CHANGE = {
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
}


def unchangeable(item: Object) -> Any:
    """The part of an object that the API server refuses to change."""
    spec = item.get("spec", {})
    match item["kind"]:
        case "StatefulSet":
            return {key: value for key, value in spec.items() if key not in STATEFUL_SET_MAY_CHANGE}
        case "Deployment":
            return spec["selector"]
        case "PersistentVolumeClaim":
            return {key: value for key, value in spec.items() if key != "resources"}
        case "Service":
            return spec.get("clusterIP")
    return None


def probes(container: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The probes of a container."""
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if name in container:
            yield container[name]


class References(RenderedCheck):
    """Within a rendering."""

    @every_rendering
    def test_a_service_selects_pods_with_its_ports(self, objects: list[Object]) -> None:
        for service in of_kind(objects, "Service"):
            found = [pod for pod in pods(objects) if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)]
            self.assertTrue(found, f"{say(service)} selects no pod")
            self.assertEqual(len({say(pod.owner) for pod in found}), 1, f"{say(service)} mixes workloads")
            for port in service["spec"]["ports"]:
                for pod in found:
                    known = pod.ports.keys() | set(pod.ports.values())
                    self.assertIn(port["targetPort"], known, f"{say(service)} → {say(pod.owner)}")

    @every_rendering
    def test_a_workload_selects_its_own_pods(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            if selector := pod.owner["spec"].get("selector"):
                self.assertTrue(selects(selector, pod.labels), say(pod.owner))

    @every_rendering
    def test_a_probe_uses_a_port_of_its_own_container(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            for container in pod.containers:
                own = {port["name"] for port in container.get("ports", [])}
                for probe in probes(container):
                    asked = probe.get("httpGet") or probe.get("tcpSocket")
                    if asked:
                        self.assertIn(asked["port"], own, f"{say(pod.owner)}, {container['name']}")

    @every_rendering
    def test_a_scaler_scales_a_workload_without_a_number_of_its_own(self, objects: list[Object]) -> None:
        scalers = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
        targets = [scaler["spec"]["scaleTargetRef"] for scaler in scalers]
        self.assertEqual(len({t["name"] for t in targets}), len(targets), "two scale the same")
        for scaler, target in zip(scalers, targets, strict=True):
            kind = target.get("kind", "Deployment")
            self.assertIn(target["name"], names(objects, kind), f"{say(scaler)} scales what is not there")
            self.assertNotIn("replicas", find(objects, kind, target["name"])["spec"], say(scaler))

    @every_rendering
    def test_every_config_map_and_secret_of_a_pod_exists_or_is_listed(self, objects: list[Object]) -> None:
        maps = {m["metadata"]["name"]: set(m["data"]) for m in of_kind(objects, "ConfigMap")}
        made = {c["spec"]["secretName"]: {"tls.crt", "tls.key", "ca.crt"} for c in of_kind(objects, "Certificate")}
        for pod in pods(objects):
            for kind, name, keys in references(pod):
                known = maps if kind == "ConfigMap" else {**made, **SECRETS}
                self.assertIn(name, known, f"{say(pod.owner)} wants a {kind} that nobody makes")
                self.assertLessEqual(keys, known[name], f"{say(pod.owner)} wants keys that {kind} {name} has not")

    @every_rendering
    def test_every_external_secret_is_used(self, objects: list[Object]) -> None:
        for item in of_kind(objects, "ExternalSecret"):
            keys = {entry["secretKey"] for entry in item["spec"]["data"]}
            self.assertLessEqual(keys, SECRETS[item["spec"]["target"]["name"]], say(item))
            store = item["spec"]["secretStoreRef"]
            self.assertIn((store["kind"], store["name"]), PROVIDED)

    @every_rendering
    def test_every_mount_has_its_volume_and_every_volume_its_mount(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            templates = pod.owner["spec"].get("volumeClaimTemplates", [])
            volumes = {v["name"] for v in pod.spec.get("volumes", [])} | {t["metadata"]["name"] for t in templates}
            mounts = {m["name"] for c in pod.containers for m in c.get("volumeMounts", [])}
            self.assertEqual(mounts, volumes, say(pod.owner))

    @every_rendering
    def test_volume_claims_and_service_accounts_exist(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            self.assertIn(pod.spec["serviceAccountName"], names(objects, "ServiceAccount"), say(pod.owner))
            for volume in pod.spec.get("volumes", []):
                if claim := volume.get("persistentVolumeClaim"):
                    self.assertIn(claim["claimName"], names(objects, "PersistentVolumeClaim"), say(pod.owner))

    @every_rendering
    def test_a_stateful_set_has_its_headless_service(self, objects: list[Object]) -> None:
        for item in of_kind(objects, "StatefulSet"):
            service = find(objects, "Service", item["spec"]["serviceName"])
            self.assertEqual(service["spec"].get("clusterIP"), "None", say(item))

    @every_rendering
    def test_only_load_balancer_services_have_load_balancer_fields(self, objects: list[Object]) -> None:
        # the API server refuses the ranges of a Service of another type
        for service in of_kind(objects, "Service"):
            spec, annotations = service["spec"], service["metadata"].get("annotations", {})
            is_balancer = spec.get("type") == "LoadBalancer"
            if not is_balancer:
                self.assertFalse(spec.keys() & {"loadBalancerSourceRanges", "loadBalancerClass"}, say(service))
                self.assertFalse([key for key in annotations if "external-dns" in key], say(service))
            if is_balancer:
                self.assertEqual(spec.get("externalTrafficPolicy"), "Local", f"{say(service)} hides who comes")
            if spec["selector"].get("app.kubernetes.io/component") == "admin":
                ranges = spec.get("loadBalancerSourceRanges", [])
                self.assertEqual(is_balancer, ranges != [], f"{say(service)} is open to all")

    @every_rendering
    def test_host_names_match_the_settings_everywhere(self, objects: list[Object]) -> None:
        maps = of_kind(objects, "ConfigMap")
        settings = next(m["data"] for m in maps if m["metadata"]["name"].startswith("tallycast-config"))
        public, admin = (urlsplit(settings[f"TALLYCAST__SERVER__{key}_URL"]).hostname for key in ("PUBLIC", "ADMIN"))
        for owner, name in public_names(objects):
            self.assertEqual(name, admin if owner.endswith("-admin") else public, owner)
        for item in of_kind(objects, "Certificate"):
            if item["metadata"]["name"] == "tallycast-tls":
                self.assertEqual(item["spec"]["dnsNames"], [public, admin])

    @every_rendering
    def test_a_load_balancer_or_route_has_its_host_name_where_certificates_are_made(self, objects: list[Object]) -> None:
        balancers = [s for s in of_kind(objects, "Service") if s["spec"].get("type") == "LoadBalancer"]
        ways = of_kind(objects, "TLSRoute") + balancers
        lifetimes = [w["metadata"].get("annotations", {}).get("external-dns.alpha.kubernetes.io/ttl") for w in ways]
        if any(lifetimes):
            self.assertEqual(set(lifetimes), {"60"})
            named = {owner for owner, _ in public_names(objects)}
            self.assertLessEqual({say(way) for way in ways}, named)

    def test_no_rendering_changes_immutable_fields_of_another(self) -> None:
        # `apply` of the one over the other is refused then, and has to be deleted by hand, in the worst case with votes
        first: dict[str, tuple[str, Any]] = {}
        for rendering, objects in world.current().renderings.items():
            for item in objects:
                made = unchangeable(item)
                name, there = first.setdefault(say(item), (rendering, made))
                self.assertEqual(made, there, f"{say(item)}: {rendering} differs from {name}")

    @every_rendering
    def test_the_ledgers_address_is_an_existing_service(self, objects: list[Object]) -> None:
        maps = of_kind(objects, "ConfigMap")
        settings = next(m["data"] for m in maps if m["metadata"]["name"].startswith("tallycast-config"))
        address = urlsplit(settings.get("TALLYCAST__LEDGER__URL", ""))
        host, port = settings.get("REDIS_HOST", address.hostname), settings.get("REDIS_PORT", address.port)
        # a managed one is outside of the cluster
        if "." not in (host or "."):
            service = find(objects, "Service", host)
            self.assertIn(int(port), [entry["port"] for entry in service["spec"]["ports"]])

    @every_rendering
    def test_sentinels_address_each_other_by_pod_name(self, objects: list[Object]) -> None:
        scripts = [m["data"]["start.sh"] for m in of_kind(objects, "ConfigMap") if "start.sh" in m["data"]]
        for item in of_kind(objects, "StatefulSet"):
            for script in scripts:
                self.assertIn(f"nodes={item['spec']['serviceName']}\n", script)
                self.assertIn(f"{item['metadata']['name']}-0.$nodes", script)

    def test_two_ledgers_can_run_side_by_side(self) -> None:
        # while rooms are moved from one to the other, clients of one must not reach the other
        found = world.current().renderings
        both = {say(item): item for item in found["overlay production"] + found["production with redis-sentinel"]}
        objects = list(both.values())
        self.assertEqual(len([item for item in objects if item["kind"] == "StatefulSet"]), 2)
        for item in of_kind(objects, "Service", "PodDisruptionBudget", "StatefulSet"):
            selector = item["spec"]["selector"]
            selector = selector if "matchLabels" in selector else {"matchLabels": selector}
            owners = {say(pod.owner) for pod in pods(objects) if selects(selector, pod.labels)}
            self.assertEqual(len(owners), 1, f"{say(item)} takes {owners}")

    @every_rendering
    def test_a_route_leads_from_its_gateway_to_a_service(self, objects: list[Object]) -> None:
        listeners = {
            (g["metadata"]["name"], listener["name"])
            for g in of_kind(objects, "Gateway")
            for listener in g["spec"]["listeners"]
        }
        for route in of_kind(objects, "TLSRoute", "HTTPRoute"):
            for parent in route["spec"]["parentRefs"]:
                self.assertIn((parent["name"], parent["sectionName"]), listeners, say(route))
            for backend in (b for m in walk(route["spec"]) for b in m.get("backendRefs", [])):
                service = find(objects, "Service", backend["name"])
                self.assertIn(backend["port"], [port["port"] for port in service["spec"]["ports"]], say(route))

    @every_rendering
    def test_every_certificate_has_an_issuer(self, objects: list[Object]) -> None:
        for item in of_kind(objects, "Certificate"):
            issuer = item["spec"]["issuerRef"]
            known = {("Issuer", name) for name in names(objects, "Issuer")} | PROVIDED
            self.assertIn((issuer["kind"], issuer["name"]), known, say(item))

    @every_rendering
    def test_a_monitor_finds_the_pods_that_have_metrics(self, objects: list[Object]) -> None:
        for monitor in of_kind(objects, "PodMonitor"):
            found = {say(p.owner) for p in pods(objects) if selects(monitor["spec"]["selector"], p.labels)}
            measured = {say(p.owner) for p in pods(objects) if "metrics" in p.ports}
            self.assertEqual(found, measured)
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                self.assertEqual(endpoint["port"], "metrics")
