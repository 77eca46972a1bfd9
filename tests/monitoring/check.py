#!/usr/bin/env python3
"""Rules, dashboards and autoscalers, checked by their text. dashboards.py uses a real Prometheus."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import kubernetes_validate
import yaml

import collector
import texts
from collector import Collector
from texts import COMPONENTS, DASHBOARDS, MONITORING, ROOT, RULE_FILES, Object

KEDA = COMPONENTS / "autoscaling-keda"
HPA = COMPONENTS / "autoscaling-hpa"
TESTS = sorted(Path(__file__).parent.glob("*.test.yml"))


def run(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


class Rules(unittest.TestCase):
    def test_promtool_accepts_the_rules(self) -> None:
        checked = run("promtool", "check", "rules", *RULE_FILES)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_rules_pass_their_unit_tests(self) -> None:
        tested = run("promtool", "test", "rules", *TESTS)
        self.assertEqual(tested.returncode, 0, tested.stdout + tested.stderr)

    def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(self) -> None:
        seen: dict[str, set[bool]] = {}
        for path in TESTS:
            for test in texts.read_yaml(path)["tests"]:
                for moment in test.get("alert_rule_test", []):
                    seen.setdefault(moment["alertname"], set()).add(bool(moment.get("exp_alerts")))
        for alert in texts.alerts():
            self.assertEqual(seen.get(alert["alert"]), {True, False}, alert["alert"])

    def test_every_alert_has_a_summary_and_a_runbook(self) -> None:
        runbook = (ROOT / "docs" / "operations.md").read_text()
        for alert in texts.alerts():
            name = alert["alert"]
            with self.subTest(name):
                self.assertRegex(name, r"^Tallycast[A-Z]")
                self.assertIn(alert["labels"]["severity"], ("critical", "warning"))
                told = alert["annotations"]
                self.assertTrue(told["summary"] and told["description"])
                self.assertEqual(told["runbook_url"], f"docs/operations.md#{name.lower()}")
                self.assertRegex(runbook, rf"(?m)^#+ {name}$", "a heading of the alert's name")

    def test_the_operators_objects_match_the_rules(self) -> None:
        fresh = run(ROOT / "scripts" / "prometheus_rule.sh").stdout
        kept = (MONITORING / "prometheus-rule.yaml").read_text()
        self.assertEqual(kept, fresh, "run scripts/prometheus_rule.sh --write")
        specs = [rule["spec"] for rule in yaml.safe_load_all(kept)]
        self.assertCountEqual(specs, [texts.read_yaml(path) for path in RULE_FILES])


class Dashboards(unittest.TestCase):
    def each(self) -> list[Object]:
        self.assertEqual([path.stem for path in DASHBOARDS], ["cluster", "show"])
        return [texts.dashboard(path) for path in DASHBOARDS]

    def test_a_dashboard_is_the_same_in_every_grafana(self) -> None:
        for board in self.each():
            self.assertNotIn("id", board, "Grafana gives it")
            self.assertRegex(board["uid"], r"^tallycast-[a-z]+$")
            variables = {variable["name"]: variable for variable in board["templating"]["list"]}
            self.assertEqual(list(variables), ["datasource", "namespace", "pod", "runbook"])
            sources = [part["datasource"]["uid"] for part in (*board["panels"], *board["annotations"]["list"])
                       if "datasource" in part]
            self.assertEqual(set(sources), {"${datasource}"}, "no data source by its own name")

    def test_every_panel_has_a_unit_a_description_and_a_place_of_its_own(self) -> None:
        for board in self.each():
            taken: set[tuple[int, int]] = set()
            self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))
            for panel in board["panels"]:
                place = panel["gridPos"]
                cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                         for y in range(place["y"], place["y"] + place["h"])}
                self.assertFalse(taken & cells or place["x"] + place["w"] > 24, panel["title"])
                taken |= cells
            for panel in texts.panels(board):
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], panel["title"])
                self.assertTrue(panel["description"], panel["title"])
                for target in panel["targets"]:
                    self.assertIn("namespace=~", target["expr"], panel["title"])

    def test_runbook_links_lead_to_existing_alerts(self) -> None:
        anchors = {"${runbook}#" + alert["alert"].lower() for alert in texts.alerts()}
        linked = [link["url"] for board in self.each() for panel in texts.panels(board)
                  for link in panel.get("links", [])]
        self.assertLessEqual(set(linked), anchors)
        self.assertEqual(len(anchors - set(linked)), 0, "each alert is linked from where its cause is seen")


class Autoscaling(unittest.TestCase):
    def setUp(self) -> None:
        self.keda = texts.read_yaml(KEDA / "scaled-object.yaml")["spec"]
        self.hpa = texts.read_yaml(HPA / "horizontal-pod-autoscaler.yaml")["spec"]

    def queries(self) -> list[Object]:
        """The triggers that query Prometheus."""
        return [trigger for trigger in self.keda["triggers"] if trigger["type"] == "prometheus"]

    def test_keda_and_the_plain_autoscaler_have_the_same_numbers(self) -> None:
        keda, hpa = self.keda, self.hpa
        self.assertEqual(keda["scaleTargetRef"]["name"], hpa["scaleTargetRef"]["name"])
        self.assertEqual(keda["minReplicaCount"], hpa["minReplicas"])
        self.assertEqual(keda["maxReplicaCount"], hpa["maxReplicas"])
        self.assertEqual(keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"], hpa["behavior"])
        # tallycast:x:pods in Prometheus is tallycast_x_pods behind the adapter
        asked = [(re.sub(r"max\((.+){.*", r"\1", trigger["metadata"]["query"]).replace(":", "_"),
                  float(trigger["metadata"]["threshold"])) for trigger in self.queries()]
        metrics = [metric["external"] for metric in hpa["metrics"] if metric["type"] == "External"]
        self.assertEqual(asked, [(metric["metric"]["name"], float(metric["target"]["averageValue"]))
                                 for metric in metrics])
        adapter = texts.read_yaml(HPA / "adapter-values.yaml")["rules"]["external"]
        self.assertEqual([rule["name"]["as"] for rule in adapter], [name for name, _ in asked])
        for rule in adapter:
            self.assertIn(f'"{rule["name"]["as"].replace("_", ":")}"', rule["seriesQuery"])
        # the CPU is the third in both, for clusters that have no Prometheus
        cpu = [trigger for trigger in keda["triggers"] if trigger["type"] == "cpu"]
        self.assertEqual([(trigger["metricType"], int(trigger["metadata"]["value"])) for trigger in cpu],
                         [(metric["resource"]["target"]["type"], metric["resource"]["target"]["averageUtilization"])
                          for metric in hpa["metrics"] if metric["type"] == "Resource"])
        self.assertEqual((len(cpu), len(keda["triggers"])), (1, len(hpa["metrics"])))

    def test_every_recorded_series_in_use_is_recorded(self) -> None:
        recorded = {rule["record"] for rule in texts.rules() if "record" in rule}
        queries = [trigger["metadata"]["query"] for trigger in self.queries()]
        self.assertLessEqual(set().union(*map(texts.names, queries)), recorded)

    def test_missing_data_is_never_read_as_zero(self) -> None:
        for trigger in self.queries():
            self.assertEqual(trigger["metadata"]["ignoreNullValues"], "false")
        self.assertEqual(self.keda["fallback"]["behavior"], "currentReplicasIfHigher")

    def test_pods_are_removed_slowly(self) -> None:
        down = self.hpa["behavior"]["scaleDown"]
        self.assertGreaterEqual(down["stabilizationWindowSeconds"], 300)
        self.assertEqual(down["policies"], [{"type": "Pods", "value": 1, "periodSeconds": 60}])

    def test_the_other_pods_have_room_for_the_sockets_of_a_lost_pod(self) -> None:
        least, target = self.keda["minReplicaCount"], float(self.keda["triggers"][0]["metadata"]["threshold"])
        # the autoscaler tolerates 10 % above its target
        self.assertLessEqual(1.1 * target * least / (least - 1), 1)

    def test_scaling_up_begins_long_before_a_pod_is_full(self) -> None:
        # a pod that was full is ready again at 95 %: one that is as full as the autoscaler lets it be must be ready
        self.assertLess(1.1 * float(self.keda["triggers"][0]["metadata"]["threshold"]), 0.95)


class Logs(unittest.TestCase):
    def test_the_collectors_file_has_only_known_keys(self) -> None:
        Collector()

    def test_a_misspelt_key_or_an_unknown_plugin_is_found(self) -> None:
        for old, new in (("key_name:", "keyname:"), ("name: rewrite_tag", "name: rewrite_tags"), ("tls: true", "ssl: true")):
            with self.subTest(new), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "fluent-bit.yaml"
                path.write_text(collector.FILE.read_text().replace(old, new))
                self.assertRaises(collector.Wrong, Collector, path)

    def test_the_collector_reads_the_container_that_the_pods_have(self) -> None:
        pod = texts.read_yaml(ROOT / "manifests" / "base" / "pod.yaml")["spec"]["template"]["spec"]
        namespace = texts.read_yaml(ROOT / "manifests" / "base" / "namespace.yaml")["metadata"]["name"]
        (source,) = Collector().inputs
        self.assertEqual(source["path"], f"/var/log/containers/tallycast-*_{namespace}_{pod['containers'][0]['name']}-*.log")

    def test_the_files_that_the_collector_names_are_mounted_and_its_variables_are_set(self) -> None:
        daemon = texts.read_yaml(collector.FOLDER / "collector.yaml")["spec"]["template"]["spec"]
        (container,) = daemon["containers"]
        text = collector.FILE.read_text()
        # the store's token comes in an included file, as kustomization.yaml tells whoever installs it
        included = re.findall(r"`env: \{(\w+): ", (collector.FOLDER / "kustomization.yaml").read_text())
        variables = {variable["name"] for variable in container["env"]}
        self.assertEqual(set(re.findall(r"\$\{(\w+)}", text)), variables | set(included))
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        for path in re.findall(r"/var/lib/\S+", text):
            self.assertTrue(any(path.startswith(f"{place}/") for place in writable), path)

    def test_the_rendered_objects_are_valid(self) -> None:
        found = run(ROOT / "scripts" / "kubectl.sh")
        if found.returncode != 0:
            self.skipTest("there is no kubectl")
        rendered = run(found.stdout.strip(), "kustomize", collector.FOLDER)
        self.assertEqual(rendered.returncode, 0, rendered.stderr)
        objects = list(yaml.safe_load_all(rendered.stdout))
        self.assertEqual(sorted(item["kind"] for item in objects), ["ConfigMap", "DaemonSet", "Namespace"])
        for item in objects:
            kubernetes_validate.validate(item, "1.32", strict=True)


class Rendered(unittest.TestCase):
    """What kustomize makes of it. Left out, aloud, where there is no kubectl."""

    def setUp(self) -> None:
        found = run(ROOT / "scripts" / "kubectl.sh")
        if found.returncode != 0:
            self.skipTest("there is no kubectl")
        self.kubectl = found.stdout.strip()

    def render(self, *components: str) -> "subprocess.CompletedProcess[str]":
        """The base with these components, and with what all overlays have in common."""
        with tempfile.TemporaryDirectory() as temporary:
            # kustomize compares real paths
            folder = Path(temporary).resolve()
            manifests = os.path.relpath((ROOT / "manifests").resolve(), folder)
            made = {"resources": [f"{manifests}/base"],
                    "components": [f"{manifests}/components/{name}" for name in (*components, "common")]}
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(made))
            return run(self.kubectl, "kustomize", folder)

    def test_both_autoscalers_together_are_refused(self) -> None:
        refused = self.render("monitoring", "autoscaling-keda", "autoscaling-hpa")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("testing value /metadata/annotations/tallycast~1scaled-by failed", refused.stderr)

    def test_an_autoscaler_owns_the_number_of_pods_and_queries_its_own_namespace(self) -> None:
        for name in ("autoscaling-keda", "autoscaling-hpa"):
            rendered = self.render("monitoring", name)
            self.assertEqual(rendered.returncode, 0, rendered.stderr)
            objects = list(yaml.safe_load_all(rendered.stdout))
            server = [o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == "tallycast-server"]
            self.assertNotIn("replicas", server[0]["spec"])
            for scaled in (o for o in objects if o["kind"] == "ScaledObject"):
                for trigger in (trigger for trigger in scaled["spec"]["triggers"] if trigger["type"] == "prometheus"):
                    self.assertIn(f'namespace="{scaled["metadata"]["namespace"]}"', trigger["metadata"]["query"])

    def test_an_overlay_that_scales_also_measures_and_scales_in_one_way(self) -> None:
        for overlay in sorted((ROOT / "manifests" / "overlays").iterdir()):
            rendered = run(self.kubectl, "kustomize", overlay)
            self.assertEqual(rendered.returncode, 0, rendered.stderr)
            kinds = [o["kind"] for o in yaml.safe_load_all(rendered.stdout)]
            scalers = kinds.count("ScaledObject") + kinds.count("HorizontalPodAutoscaler")
            self.assertLessEqual(scalers, 1, overlay.name)
            if scalers:
                self.assertIn("PrometheusRule", kinds, overlay.name)
                self.assertIn("PodMonitor", kinds, overlay.name)

    def test_the_dashboards_are_shipped_unchanged(self) -> None:
        objects = list(yaml.safe_load_all(self.render("monitoring").stdout))
        kept = next(o for o in objects if o["kind"] == "ConfigMap" and "grafana_dashboard" in o["metadata"]["labels"])
        self.assertEqual(kept["data"], {path.name: path.read_text() for path in DASHBOARDS})
        self.assertEqual(kept["metadata"]["name"], "tallycast-dashboards")


if __name__ == "__main__":
    program = unittest.main(exit=False, verbosity=1)
    if program.result.skipped:
        print("SKIPPED: the manifests were not rendered, for there is no kubectl", file=sys.stderr)
    sys.exit(not program.result.wasSuccessful())
