"""compose.yaml against what it names: files, settings, services, and the nginx configuration that it changes."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from project import ROOT, read_yaml, setting_names

COMPOSE: dict[str, Any] = read_yaml("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# made on the machine, and never committed
MADE = {"certs", "webhooks"}


class Compose(unittest.TestCase):
    def test_what_is_mounted_is_there(self) -> None:
        mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
        self.assertGreater(len(mounts), 8)
        for mount in mounts:
            source = mount.split(":")[0]
            with self.subTest(mount):
                if source.startswith("./"):
                    self.assertTrue(source[2:] in MADE or (ROOT / source).exists())
                    self.assertTrue(mount.endswith(":ro"), "nothing of the project is written to")
                else:
                    self.assertIn(source, COMPOSE["volumes"])

    def test_every_setting_exists(self) -> None:
        for name, service in SERVICES.items():
            if "build" in service:
                unknown = set(service["environment"]) - setting_names()
                self.assertEqual(unknown, set(), name)

    def test_secrets_come_from_a_file_that_git_ignores(self) -> None:
        text = (ROOT / "compose.yaml").read_text()
        required = set(re.findall(r"\$\{([A-Z_]+):\?", text))
        example = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text()))
        self.assertEqual(required, {"SERVER_SECRET", "EMCEE_KEY", "GRAFANA_PASSWORD"})
        for name in required:
            self.assertEqual(example[name], "", "an example of a secret would be used")
        self.assertLessEqual(set(example), set(re.findall(r"\$\{([A-Z_]+)", text)), "it names what nobody reads")
        ignored = (ROOT / ".gitignore").read_text().split()
        for name in ("/.env", "/certs", "/webhooks"):
            self.assertIn(name, ignored)

    def test_images_are_pinned(self) -> None:
        for name, service in SERVICES.items():
            if "build" not in service:
                self.assertRegex(service["image"], r":v?\d+\.\d+", name)

    def test_what_runs_our_image_has_no_more_rights_than_in_a_cluster(self) -> None:
        ours = [service for service in SERVICES.values() if "build" in service]
        self.assertEqual(len(ours), 4)
        for service in ours:
            self.assertTrue(service["read_only"])
            self.assertEqual(service["cap_drop"], ["ALL"])
            self.assertEqual(service["mem_limit"], "2500m")

    def test_prometheus_scrapes_services_that_there_are(self) -> None:
        targets = re.findall(r'"([a-z0-9-]+):(\d+)"', (ROOT / "manifests/monitoring/compose/prometheus.yml").read_text())
        self.assertTrue(targets)
        for host, port in targets:
            self.assertIn(host, SERVICES)
            self.assertEqual(SERVICES[host]["environment"]["TALLYCAST__METRICS__PORT"], port)

    def test_prometheus_tells_the_alertmanager_that_there_is(self) -> None:
        alerting = read_yaml("manifests/monitoring/compose/prometheus.yml")["alerting"]
        (found,) = alerting["alertmanagers"][0]["dns_sd_configs"]
        service = SERVICES[found["names"][0]]
        self.assertTrue(service["ports"][0].endswith(f":{found['port']}"))
        config = read_yaml("manifests/monitoring/alertmanager/alertmanager.yml")
        mounted = {mount.split(":")[1] for mount in service["volumes"]}
        for receiver in config["receivers"]:
            for slack in receiver["slack_configs"]:
                self.assertIn(str(Path(slack["api_url_file"]).parent), mounted)

    def test_nginx_takes_the_configuration_with_both_pods(self) -> None:
        pods = SERVICES["nginx"]["command"][2:]
        self.assertEqual([pod.split(":")[0] for pod in pods], [name for name in SERVICES if name.startswith("pod-")])
        with tempfile.TemporaryDirectory() as folder:
            there = Path(folder)
            shutil.copytree(ROOT / "manifests/base/nginx", there / "nginx")
            environment = os.environ | {"CERTS": f"{there}/certs"}
            subprocess.run([ROOT / "scripts/certs.sh"], env=environment, stdout=subprocess.DEVNULL, check=True)
            main = there / "nginx/nginx.conf"
            text = main.read_text().replace("/tmp/", f"{there}/").replace("/etc/tallycast/tls/", f"{there}/certs/")
            main.write_text(text)
            script = (ROOT / "compose/nginx.sh").read_text()
            script = script.replace("/etc/tallycast/nginx", f"{there}/nginx").replace("/tmp/conf", f"{there}/conf")
            self.assertIn("exec nginx -c", script)
            # names of services mean something to compose alone
            addresses = ["127.0.0.1:8080", "127.0.0.2:8080"]
            tried = subprocess.run(
                ["sh", "-c", script.replace("exec nginx", "exec nginx -t"), "nginx.sh", *addresses],
                capture_output=True, text=True, check=False,
            )
            self.assertEqual(tried.returncode, 0, tried.stderr)
            servers = re.findall(r"server (\S+:\d+) max_fails=(\d)", (there / "conf/nginx.conf").read_text())
            self.assertEqual(servers, [(address, "2") for address in addresses])
