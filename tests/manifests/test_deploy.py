"""Who sets the number of server pods: deploy.sh and hold.sh with a simulated cluster."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import yaml

import world
from objects import RenderedCheck, ScriptCheck, every_rendering, find, of_kind, say
from world import Object

FOLDER = Path(__file__).resolve().parent
SERVER = "Deployment.tallycast-server"


@functools.cache
def rendered() -> str:
    """A folder for what is rendered, as long as the program runs."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return folder


class Number(RenderedCheck):
    """In the files."""

    @every_rendering
    def test_no_file_says_how_many_servers_there_are(self, objects: list[Object]) -> None:
        server = find(objects, "Deployment", "tallycast-server")
        self.assertNotIn("replicas", server["spec"], "each apply would put it back, whoever has scaled since")
        told = server["metadata"]["annotations"]
        scaled_by = {"HorizontalPodAutoscaler": "hpa", "ScaledObject": "keda"}
        scalers = of_kind(objects, *scaled_by)
        self.assertEqual(told["tallycast/scaled-by"], "".join(scaled_by[s["kind"]] for s in scalers) or "hand")
        self.assertGreaterEqual(int(told["tallycast/first-pods"]), 3, "one may go while another is busy")
        for scaler in scalers:
            least = scaler["spec"].get("minReplicas") or scaler["spec"]["minReplicaCount"]
            self.assertEqual(told["tallycast/first-pods"], str(least), say(scaler))

    @every_rendering
    def test_no_file_says_whether_pods_are_held(self, objects: list[Object]) -> None:
        for scaler in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
            spec = scaler["spec"]
            behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            self.assertNotIn("selectPolicy", behavior["scaleDown"], "an apply would undo scripts/hold.sh")


class Scripts(ScriptCheck):
    """With a cluster that is a folder."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "objects").mkdir()
        (self.folder / "bin").mkdir()
        self.tool("kubectl", f'exec {sys.executable} {FOLDER / "fake_kubectl.py"} "$@"')
        self.tool("sleep", ":")

    def tool(self, name: str, text: str) -> None:
        """A program of the made-up world."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run_script(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Runs a script there."""
        ran = [str(self.folder / "scripts" / command[0]), *command[1:]]
        told = self.environment() | environment
        return subprocess.run(ran, cwd=self.folder, env=told, capture_output=True, text=True, check=False)

    def environment(self) -> dict[str, str]:
        """The variables of that world."""
        return {
            "KUBECONFIG": "/dev/null",
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "REAL_KUBECTL": world.kubectl() or "",
            "RENDERED": rendered(),
            "WORLD": str(self.folder),
        }

    def well(self, *command: str, **environment: str) -> str:
        """Runs a script that has nothing to complain about, and gives what it says."""
        ran = self.run_script(*command, **environment)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        return ran.stdout

    def kubectl(self, *arguments: str) -> None:
        """Somebody at a terminal."""
        called = [self.folder / "bin/kubectl", *arguments]
        subprocess.run(called, cwd=self.folder, env=self.environment(), capture_output=True, check=True)

    def item(self, name: str) -> dict[str, Any]:
        """An object of the made-up cluster."""
        return json.loads((self.folder / "objects" / f"{name}.json").read_text())

    def keep(self, item: dict[str, Any]) -> None:
        """Puts an object there."""
        (self.folder / "objects" / f"{item['kind']}.{item['metadata']['name']}.json").write_text(json.dumps(item))

    def number(self) -> int:
        """Server pods that are wanted."""
        return self.item(SERVER)["spec"]["replicas"]

    def log(self) -> list[str]:
        """The commands since the last call."""
        file = self.folder / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def add_component(self, overlay: str, name: str) -> None:
        """As an operator does it."""
        file = self.folder / "manifests/overlays" / overlay / "kustomization.yaml"
        made = yaml.safe_load(file.read_text())
        made["components"].insert(0, f"../../components/{name}")
        file.write_text(yaml.safe_dump(made))


class Deploy(Scripts):
    """scripts/deploy.sh."""

    def test_a_first_installation_begins_with_the_smallest_number(self) -> None:
        self.well("deploy.sh", "local")
        self.assertEqual(self.number(), 3)
        done = self.log()
        self.assertEqual(done[2], "scale deployment/tallycast-server to 3", "before anybody is waited for")
        self.assertEqual(done[3:], [f"wait for deployment/tallycast-{name}" for name in ("server", "admin", "worker")])

    def test_what_was_scaled_stays_as_it_is(self) -> None:
        self.well("deploy.sh", "local")
        self.kubectl("scale", "deployment/tallycast-server", "--replicas=8")
        self.log()
        self.well("deploy.sh", "local")
        self.assertEqual(self.number(), 8)
        self.assertNotIn("scale", "".join(self.log()))
        # without the script the result is the same
        for how in ([], ["--server-side"]):
            self.kubectl("apply", *how, "-k", "manifests/overlays/local")
            self.assertEqual(self.number(), 8, how)

    def test_an_autoscaler_that_is_added_changes_no_number_by_itself(self) -> None:
        self.well("deploy.sh", "local")
        self.kubectl("scale", "deployment/tallycast-server", "--replicas=8")
        self.add_component("local", "autoscaling-hpa")
        self.well("deploy.sh", "local")
        self.assertEqual(self.item("HorizontalPodAutoscaler.tallycast-server")["spec"]["minReplicas"], 3)
        self.assertEqual(self.number(), 8)

    def test_a_number_from_older_files_is_kept_when_they_no_longer_have_it(self) -> None:
        for how in ([], ["--server-side"]):
            with self.subTest(how):
                # the files of before
                file = self.folder / "manifests/base/server.yaml"
                text = file.read_text()
                file.write_text(text.replace("\n  selector:", "\n  replicas: 3\n  selector:", 1))
                self.kubectl("apply", "-f", "manifests/base/namespace.yaml")
                self.kubectl("apply", *how, "-k", "manifests/overlays/local")
                self.assertEqual(self.number(), 3)
                file.write_text(text)
                # if the last writer owned every field, this would change three pods to one
                before = self.item(SERVER)
                self.kubectl("apply", *how, "-k", "manifests/overlays/local")
                self.assertEqual(self.number(), 1)
                self.keep(before)
                self.well("deploy.sh", "local")
                self.assertEqual(self.number(), 3)

    def test_a_refused_apply_changes_nothing(self) -> None:
        (self.folder / "refuse-trial").write_text('no matches for kind "ScaledObject" in version "keda.sh/v1alpha1"')
        refused = self.run_script("deploy.sh", "production")
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertIn("no matches for kind", refused.stderr)
        self.assertIn("nothing was applied", refused.stderr)
        self.assertEqual(self.log(), ["apply manifests/base/namespace.yaml"])

    def test_an_apply_refused_by_a_slow_webhook_is_retried(self) -> None:
        (self.folder / "keda").touch()
        (self.folder / "refuse-webhook").write_text('denied the request: Deployment.apps "tallycast-server" not found')
        self.well("deploy.sh", "production")
        self.assertEqual(self.number(), 3)
        self.assertTrue((self.folder / "objects/ScaledObject.tallycast-server.json").exists())

    def test_fields_changed_by_others_are_reported_and_left_alone(self) -> None:
        self.well("deploy.sh", "local")
        self.kubectl("scale", "deployment/tallycast-admin", "--replicas=4")
        self.log()
        refused = self.run_script("deploy.sh", "local")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("conflict", refused.stderr)
        self.assertEqual((self.log(), self.item("Deployment.tallycast-admin")["spec"]["replicas"]), ([], 4))
        self.well("deploy.sh", "local", FORCE="1")
        self.assertEqual(self.item("Deployment.tallycast-admin")["spec"]["replicas"], 1)

    def test_an_unknown_overlay_is_refused(self) -> None:
        refused = self.run_script("deploy.sh", "nowhere")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("local production staging", refused.stderr)
        self.assertEqual(self.log(), [])


class Hold(Scripts):
    """scripts/hold.sh."""

    def cluster(self, *scalers: dict[str, Any], pods: int = 3) -> None:
        """A cluster with that."""
        self.keep({"kind": "Deployment", "metadata": {"name": "tallycast-server"}, "spec": {"replicas": pods}})
        for scaler in scalers:
            self.keep(scaler)

    def shipped(self, component: str) -> dict[str, Any]:
        """The autoscaler that a component brings."""
        found = world.current().renderings[f"component {component}"]
        return of_kind(found, "HorizontalPodAutoscaler", "ScaledObject")[0]

    def policy(self) -> str:
        """What the autoscaler may do about taking pods away."""
        rules = self.item("HorizontalPodAutoscaler.tallycast-server")["spec"]["behavior"]["scaleDown"]
        return rules.get("selectPolicy", "Max")

    def with_keda(self) -> dict[str, Any]:
        """A cluster with KEDA."""
        (self.folder / "keda").touch()
        scaled = self.shipped("autoscaling-keda")
        self.cluster(scaled, self.shipped("autoscaling-hpa"))
        return scaled

    def test_a_number_is_held_and_released_with_a_plain_autoscaler(self) -> None:
        self.cluster(self.shipped("autoscaling-hpa"))
        said = self.well("hold.sh", "8")
        self.assertEqual((self.number(), self.policy()), (8, "Disabled"))
        self.assertIn("hpa/tallycast-server takes no pods away; up to 12 it may add some", said)
        self.assertIn("make let-go", said.splitlines()[-1])
        done = self.log()
        # otherwise the autoscaler could remove the new pods at once
        self.assertEqual([line.split()[0] for line in done], ["patch", "scale", "wait"])
        self.assertIn("by tallycast-hold", done[0], "Flux puts back what kubectl has changed in its own name")
        self.well("hold.sh", "let-go")
        self.assertEqual((self.number(), self.policy()), (8, "Max"))

    def test_a_number_is_held_and_released_with_keda(self) -> None:
        self.with_keda()
        self.assertIn("scaledobject.keda.sh/tallycast-server takes no pods away", self.well("hold.sh", "8"))
        self.assertEqual((self.number(), self.policy()), (8, "Disabled"))
        self.assertTrue(self.log()[0].startswith("patch scaledobject.keda.sh/"), "KEDA would undo a patch of its own HPA")
        self.well("hold.sh", "let-go")
        self.assertEqual(self.policy(), "Max")

    def test_a_change_that_keda_does_not_apply_is_reported(self) -> None:
        self.with_keda()
        (self.folder / "keda-sleeps").touch()
        refused = self.run_script("hold.sh", "8")
        self.assertEqual((refused.returncode, self.number()), (1, 3))
        self.assertIn("does KEDA run, and is it not paused?", refused.stderr)

    def test_without_an_autoscaler_the_number_is_set_directly(self) -> None:
        self.cluster()
        self.assertIn("no autoscaler is there", self.well("hold.sh", "8"))
        self.assertEqual((self.number(), self.log()[0]), (8, "scale deployment/tallycast-server to 8"))
        self.assertIn("kubectl -n tallycast scale", self.well("hold.sh", "let-go"))

    def test_pods_that_do_not_become_ready_are_reported_and_held_nevertheless(self) -> None:
        self.cluster(self.shipped("autoscaling-hpa"))
        (self.folder / "refuse-rollout").write_text("timed out waiting for the condition")
        refused = self.run_script("hold.sh", "8")
        self.assertEqual((refused.returncode, self.number(), self.policy()), (1, 8, "Disabled"))
        self.assertIn("not all pods are ready; the number is held all the same", refused.stderr)
        self.assertIn("make let-go", refused.stdout)

    def test_more_than_the_autoscaler_allows_is_refused(self) -> None:
        self.cluster(self.shipped("autoscaling-hpa"))
        refused = self.run_script("hold.sh", "13")
        self.assertEqual((refused.returncode, self.number(), self.policy(), self.log()), (1, 3, "Max", []))
        self.assertIn("13 are more than hpa/tallycast-server allows, 12", refused.stderr)

    def test_holding_removes_no_pod(self) -> None:
        self.cluster(self.shipped("autoscaling-hpa"), pods=10)
        self.assertIn("10 pods are there already", self.well("hold.sh", "8"))
        self.assertEqual((self.number(), self.policy()), (10, "Disabled"))

    def test_an_invalid_number_is_refused(self) -> None:
        self.cluster()
        for words in ([], ["0"], ["-1"], ["many"], ["8", "9"]):
            self.assertEqual(self.run_script("hold.sh", *words).returncode, 2, words)
        self.assertEqual(self.log(), [])

    def test_a_later_apply_does_not_undo_it(self) -> None:
        self.add_component("local", "autoscaling-hpa")
        self.well("deploy.sh", "local")
        self.well("hold.sh", "8")
        for how in ([], ["--server-side"]):
            self.kubectl("apply", *how, "-k", "manifests/overlays/local")
            self.assertEqual((self.number(), self.policy()), (8, "Disabled"), how)
