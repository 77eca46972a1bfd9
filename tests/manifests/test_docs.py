"""What the pages for operators show and promise of the cluster, held against what is rendered."""

import re

import world
from objects import RenderedCheck, find, of_kind, pods, say
from test_references import references

CLUSTER = "docs/cluster.md"
OPERATIONS = "docs/operations.md"
HASH = re.compile(r"-[a-z0-9]{10}$")


def read(path: str) -> str:
    """A page."""
    return world.current().file(path).read_text(encoding="utf-8")


def fences(text: str) -> list[tuple[str, str]]:
    """Marker and text of each block."""
    return re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text)


def row(first: str) -> str:
    """The row of the troubleshooting table that begins like this."""
    return next(line for line in read(CLUSTER).splitlines() if line.startswith(f"| `{first}`"))


class Examples(RenderedCheck):
    """Examples are marked as such, and match the manifests."""

    def applied(self) -> list[tuple[str, str, str]]:
        """Kind, name and verb of each line that `apply` prints."""
        shown = "".join(text for marker, text in fences(read(CLUSTER)) if marker == "example")
        printed = re.findall(r"(?m)^([a-z]+)(?:\.[a-z0-9.]+)?/(\S+) (created|configured|unchanged)$", shown)
        return [line for line in printed if line[0] != "secret"]

    def test_printed_output_is_marked_as_an_example(self) -> None:
        self.assertIn("Below each command is an example of its output", read(CLUSTER).partition("\n## ")[0])
        markers = [marker for marker, _ in fences(read(CLUSTER))]
        self.assertLessEqual(set(markers), {"sh", "example"}, "a block is neither a command nor marked as an example")
        self.assertGreater(markers.count("example"), 5)

    def test_the_output_of_apply_matches_the_overlay(self) -> None:
        objects = world.current().renderings["overlay local"]
        there = {(item["kind"].lower(), HASH.sub("", item["metadata"]["name"])) for item in objects}
        self.assertGreater(len(self.applied()), 8)
        for kind, name, _ in self.applied():
            self.assertIn((kind, HASH.sub("", name)), there)

    def test_unchanged_objects_are_printed_as_kubectl_prints_them(self) -> None:
        # the namespace is made first, from its own file, and may get more labels from the overlay
        own = world.parse(world.current().file("manifests/base/namespace.yaml").read_text(encoding="utf-8"))[0]
        rendered = find(world.current().renderings["overlay local"], "Namespace", "tallycast")
        then = "unchanged" if own == rendered else "configured"
        self.assertEqual([verb for kind, _, verb in self.applied() if kind == "namespace"], ["created", then])

    def test_the_pods_shown_have_the_right_number_of_containers(self) -> None:
        objects = world.current().renderings["overlay local"]
        whole = {
            pod.owner["metadata"]["name"]: len(pod.spec["containers"])
            + sum(c.get("restartPolicy") == "Always" for c in pod.spec.get("initContainers", []))
            for pod in pods(objects)
        }
        shown = re.findall(r"(?m)^(tallycast-[a-z]+)-\S+ +\d/(\d) +Running ", read(CLUSTER))
        self.assertGreater(len(shown), 4)
        for name, containers in shown:
            self.assertEqual(int(containers), whole[name], name)


class Advice(RenderedCheck):
    """The troubleshooting table matches what a cluster shows."""

    def test_a_missing_secret_is_shown_as_kubectl_shows_it(self) -> None:
        # A Secret that is a volume keeps all containers from starting; one that is a variable, only its own.
        for objects in world.current().renderings.values():
            for pod in pods(objects):
                optional = {
                    (source["name"], source["key"])
                    for container in pod.containers
                    for source in (v.get("valueFrom", {}).get("secretKeyRef") for v in container.get("env", []))
                    if source and source.get("optional")
                }
                volumes = {v["secret"]["secretName"] for v in pod.spec.get("volumes", []) if "secret" in v}
                shown = row("Init:0/1")
                if not pod.spec.get("initContainers"):
                    self.assertIn("`ContainerCreating`", shown)
                self.assertLessEqual(len(pod.spec.get("initContainers", [])), 1, f"{say(pod.owner)} shows Init:0/N")
                for name in volumes:
                    self.assertIn(f"`{name}`", shown, f"what {say(pod.owner)} shows without it is not said")
                for kind, name, keys in references(pod):
                    for key in keys:
                        if kind == "Secret" and name not in volumes and (name, key) not in optional:
                            self.assertIn(f"`{key}`", row("CreateContainerConfigError"), say(pod.owner))

    def test_debugging_uses_the_profile_that_the_namespace_requires(self) -> None:
        for objects in world.current().renderings.values():
            for space in of_kind(objects, "Namespace"):
                self.assertEqual(space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
        pages = read(CLUSTER) + read(OPERATIONS)
        said = re.findall(r"kubectl [^`\n]*debug [^`\n]*", pages)
        self.assertTrue(said, "nobody is told how to look into a pod")
        for line in said:
            self.assertIn("--profile=restricted", line)


class Moving(RenderedCheck):
    """From one ledger to another."""

    def said(self) -> str:
        """The commands of that part."""
        part = read(OPERATIONS).partition("\n## Moving to another ledger\n")[2].partition("\n## ")[0]
        return "".join(text for marker, text in fences(part) if marker == "sh")

    def named(self, commands: str) -> set[tuple[str, str]]:
        """Kind and name of what they name."""
        return set(re.findall(r"\b([a-z]+)/(tallycast[a-z-]*)(?=\s|$)", commands))

    def test_workloads_that_the_page_waits_for_exist_after_the_move(self) -> None:
        after = world.current().renderings["production with redis-sentinel"]
        there = {(item["kind"].lower(), item["metadata"]["name"]) for item in after}
        waited = self.named("\n".join(line for line in self.said().splitlines() if "rollout status" in line))
        self.assertIn(("statefulset", "tallycast-redis-sentinel"), waited)
        self.assertLessEqual(waited, there)

    def test_the_page_deletes_all_of_the_old_ledger_and_nothing_else(self) -> None:
        kinds = ("StatefulSet", "Service", "PodDisruptionBudget")
        before, after = (
            {(item["kind"].lower(), item["metadata"]["name"]) for item in of_kind(objects, *kinds)}
            for name in ("overlay production", "production with redis-sentinel")
            for objects in [world.current().renderings[name]]
        )
        deleted = self.named(self.said()[self.said().index("kubectl -n tallycast delete") :])
        self.assertEqual(deleted, before - after)

    def test_export_comes_before_the_switch_and_import_after_it(self) -> None:
        steps = ("export --all", "apply -k", "import move/", "kubectl -n tallycast delete")
        order = [self.said().find(step) for step in steps]
        self.assertNotIn(-1, order)
        self.assertEqual(sorted(order), order)
        self.assertEqual(self.said().count("audit --all"), 2, "the same numbers before and after")

