"""What a pod may, what it gets, and how it ends."""

import re
import tomllib

import world
from objects import RenderedCheck, cores, every_rendering, mebibytes, of_kind, pods, say, selects
from world import Object

# All pods of the image drain by the same setting.
AFTER_DRAIN_SECONDS = 4
# By which label each task is picked out of what its kustomization renders, as the comment there says.
LOADTEST = {"app.kubernetes.io/component": "loadtest"}
TASKS = {
    "loadtest": LOADTEST,
    "loadtest-tenfold": LOADTEST,
    "loadtest-disturbed": LOADTEST,
}


class Pods(RenderedCheck):
    """Each pod of each rendering."""

    @every_rendering
    def test_every_container_has_requests_and_limits(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            for container in pod.containers:
                for kind in ("requests", "limits"):
                    self.assertEqual(
                        container.get("resources", {}).get(kind, {}).keys(),
                        {"cpu", "memory"},
                        f"{say(pod.owner)}, {container['name']}",
                    )
                resources = container["resources"]
                self.assertLessEqual(cores(resources["requests"]["cpu"]), cores(resources["limits"]["cpu"]))
                self.assertLessEqual(
                    mebibytes(resources["requests"]["memory"]), mebibytes(resources["limits"]["memory"])
                )

    @every_rendering
    def test_a_pod_that_serves_has_2500_mebibytes(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            if say(pod.owner) in ("Deployment tallycast-server", "Deployment tallycast-admin"):
                limits = [mebibytes(c["resources"]["limits"]["memory"]) for c in pod.containers]
                self.assertEqual(sum(limits), 2500, say(pod.owner))

    @every_rendering
    def test_every_container_is_restricted(self, objects: list[Object]) -> None:
        space = of_kind(objects, "Namespace")
        for namespace in space:
            self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
        for pod in pods(objects):
            whole = pod.spec["securityContext"]
            self.assertTrue(whole["runAsNonRoot"], say(pod.owner))
            self.assertGreater(whole["runAsUser"], 0)
            self.assertEqual(whole["seccompProfile"]["type"], "RuntimeDefault")
            self.assertIs(pod.spec["automountServiceAccountToken"], False, say(pod.owner))
            self.assertIs(pod.spec["enableServiceLinks"], False, say(pod.owner))
            self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys())
            for container in pod.containers:
                name = f"{say(pod.owner)}, {container['name']}"
                own = container.get("securityContext", {})
                self.assertIs(own.get("allowPrivilegeEscalation"), False, name)
                self.assertIs(own.get("readOnlyRootFilesystem"), True, name)
                self.assertEqual(own.get("capabilities"), {"drop": ["ALL"]}, name)
                self.assertNotEqual(own.get("runAsUser"), 0, name)

    @every_rendering
    def test_every_long_running_container_has_probes(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            if pod.owner["kind"] not in ("Deployment", "StatefulSet"):
                continue
            for container in pod.containers:
                for probe in ("livenessProbe", "readinessProbe"):
                    self.assertIn(probe, container, f"{say(pod.owner)}, {container['name']}")

    @every_rendering
    def test_the_grace_period_is_longer_than_a_drain(self, objects: list[Object]) -> None:
        stage = tomllib.loads(world.current().file("config/production.toml").read_text(encoding="utf-8"))
        drain = stage["server"]["drain_ms"] / 1000
        for pod in pods(objects):
            if pod.owner["kind"] != "Deployment":
                continue
            sleep = next(c for c in pod.containers if c["name"] == "tallycast")["lifecycle"]["preStop"]["sleep"][
                "seconds"
            ]
            self.assertGreaterEqual(sleep, 5)
            self.assertGreaterEqual(
                pod.spec["terminationGracePeriodSeconds"], sleep + drain + AFTER_DRAIN_SECONDS + 10, say(pod.owner)
            )

    @every_rendering
    def test_nginx_outlives_the_process_behind_it(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            for container in pod.spec.get("initContainers", []):
                if container["name"] == "nginx":
                    self.assertEqual(container.get("restartPolicy"), "Always", say(pod.owner))
            self.assertNotIn("nginx", [c["name"] for c in pod.spec["containers"]], say(pod.owner))

    @every_rendering
    def test_a_rollout_removes_no_pod_before_its_replacement_is_ready(self, objects: list[Object]) -> None:
        for item in of_kind(objects, "Deployment"):
            self.assertEqual(item["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0, say(item))
        for budget in of_kind(objects, "PodDisruptionBudget"):
            self.assertEqual(budget["spec"]["maxUnavailable"], 1, say(budget))
            # a full server pod is not ready, but still serves its sockets
            policy = "IfHealthyBudget" if budget["metadata"]["name"] == "tallycast-server" else "AlwaysAllow"
            self.assertEqual(budget["spec"]["unhealthyPodEvictionPolicy"], policy, say(budget))
            found = {say(pod.owner) for pod in pods(objects) if selects(budget["spec"]["selector"], pod.labels)}
            self.assertEqual(len(found), 1, f"{say(budget)} must guard one workload, not {found}")

    @every_rendering
    def test_pods_spread_by_labels_that_they_have(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            for rule in pod.spec.get("topologySpreadConstraints", []):
                self.assertTrue(selects(rule["labelSelector"], pod.labels), say(pod.owner))
                for key in rule.get("matchLabelKeys", []):
                    self.assertTrue(key in pod.labels or key == "pod-template-hash", f"{say(pod.owner)} has no {key}")

    def test_every_object_is_labelled_and_every_image_has_a_tag(self) -> None:
        for name, objects in world.current().renderings.items():
            with self.subTest(rendering=name):
                for item in objects:
                    labels = item["metadata"].get("labels", {})
                    for key in ("name", "instance", "part-of", "managed-by"):
                        self.assertIn(f"app.kubernetes.io/{key}", labels, say(item))
                for pod in pods(objects):
                    for container in pod.containers:
                        image = container["image"]
                        if name.startswith(("overlay", "task")) or image != "tallycast":
                            self.assertRegex(image, r":[^/:]+$|@sha256:", say(pod.owner))
                            self.assertFalse(re.search(r":latest$", image), say(pod.owner))

    @every_rendering
    def test_images_of_others_are_named_by_digest(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            for container in pod.containers:
                image = container["image"]
                # ours gets its digest where it is promoted
                if not re.search(r"(^|/)tallycast(:|@|$)", image):
                    self.assertRegex(image, r":[\w.-]+@sha256:[0-9a-f]{64}$", f"{say(pod.owner)}, {container['name']}")

    @every_rendering
    def test_every_object_is_in_the_namespace(self, objects: list[Object]) -> None:
        for item in objects:
            if item["kind"] != "Namespace":
                self.assertEqual(item["metadata"].get("namespace"), "tallycast", say(item))

    def test_a_task_is_applied_completely_by_its_label(self) -> None:
        found = world.current().renderings
        there = {(item["kind"], item["metadata"]["name"]) for item in found["overlay staging"]}
        self.assertEqual({name for name in found if name.startswith("task ")}, {f"task {name}" for name in TASKS})
        for task, label in TASKS.items():
            for item in found[f"task {task}"]:
                is_new = (item["kind"], item["metadata"]["name"]) not in there
                is_selected = label.items() <= item["metadata"]["labels"].items()
                self.assertEqual(is_new, is_selected, f"{task}: {say(item)}")

    @every_rendering
    def test_the_version_is_the_packages(self, objects: list[Object]) -> None:
        package = tomllib.loads(world.current().file("Cargo.toml").read_text(encoding="utf-8"))
        version = package["package"].get("version")
        if not isinstance(version, str):
            version = package["workspace"]["package"]["version"]
        for item in of_kind(objects, "Deployment"):
            for labels in (item["metadata"]["labels"], item["spec"]["template"]["metadata"]["labels"]):
                self.assertEqual(labels["app.kubernetes.io/version"], version, say(item))
        for item in of_kind(objects, "StatefulSet"):
            self.assertNotIn(
                "app.kubernetes.io/version",
                item["spec"]["template"]["metadata"]["labels"],
                "Redis would restart with each release",
            )
