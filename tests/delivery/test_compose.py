"""compose.yaml against what it names: files, settings, services; and its nginx, with the rights that it has there.

How it finds the pods and what it does when one goes is tested in tests/nginx/compose.rs."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

from project import ROOT, free_ports, read_yaml, setting_names

COMPOSE: dict[str, Any] = read_yaml("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# made on the machine, and never committed
MADE = {"certs", "certs/ca.crt", "webhooks", "secrets"}
PATIENCE_SECONDS = 30


class Compose(unittest.TestCase):
    def test_mounted_files_exist(self) -> None:
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

    def test_secrets_are_files_that_git_ignores_and_in_no_environment(self) -> None:
        text = (ROOT / "compose.yaml").read_text()
        example = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text()))
        self.assertEqual(set(example), {"PUBLIC_URL", "ADMIN_URL", "SUBNET"}, "what is in .env is in the environment")
        self.assertLessEqual(set(example), set(re.findall(r"\$\{([A-Z_]+)", text)), "it names what nobody reads")
        ignored = (ROOT / ".gitignore").read_text().split()
        for name in ("/.env", "/certs", "/webhooks", "/secrets"):
            self.assertIn(name, ignored)
        for name, service in SERVICES.items():
            for key, value in service.get("environment", {}).items():
                if re.search(r"SECRET|KEY|PASSWORD|WEBHOOK|TOKEN", key) and key != "PASSWORDS":
                    self.assertRegex(key, r"_FILE$", f"{name}: a secret by value")
                    self.assertTrue(value.startswith("/run/secrets/"), f"{name}: {key}")

    def test_each_service_gets_the_secrets_that_it_reads(self) -> None:
        used: set[str] = set()
        for name, service in SERVICES.items():
            given = [one if isinstance(one, dict) else {"source": one, "target": one} for one in service.get("secrets", [])]
            used |= {one["source"] for one in given}
            read = {
                value.removeprefix("/run/secrets/")
                for key, value in service.get("environment", {}).items()
                if key.endswith("_FILE")
            }
            if name == "redis":
                users = (ROOT / "manifests/base/redis/users.acl").read_text()
                read = set(re.findall(r"#(redis-\w+)", users)) - {"redis-NAME"}
            self.assertEqual({one["target"] for one in given}, read, name)
            for one in given:
                if one["target"] == "redis-password":
                    self.assertEqual(one["source"], f"redis-{service['environment']['TALLYCAST__LEDGER__USER']}", name)
                    is_audience = service["environment"]["TALLYCAST__SERVER__ROLE"] == "audience"
                    self.assertEqual(one["source"] == "redis-audience", is_audience, name)
        self.assertEqual(used, set(COMPOSE["secrets"]))
        with tempfile.TemporaryDirectory() as folder:
            made = make_secrets(Path(folder) / "secrets")
            for name, secret in COMPOSE["secrets"].items():
                self.assertEqual(secret["file"], f"./secrets/{name}")
                self.assertTrue((made / name).exists(), name)

    def test_made_secrets_are_new_closed_to_others_and_stay(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            first, second = (make_secrets(Path(folder) / name) for name in ("a", "b"))
            for path in first.iterdir():
                if path.name == "webhook-url":
                    self.assertEqual(path.read_text(), "", "there is none yet")
                    continue
                self.assertGreaterEqual(len(path.read_text().strip()), 16, path.name)
                self.assertNotEqual(path.read_text(), (second / path.name).read_text(), path.name)
                # the folder is closed; a container reads a mounted file as another user
                self.assertEqual(path.stat().st_mode & 0o777, 0o644, path.name)
            self.assertEqual(first.stat().st_mode & 0o777, 0o700)
            before = {path.name: path.read_text() for path in first.iterdir()}
            (first / "redis-monitor").unlink()
            make_secrets(first)
            after = {path.name: path.read_text() for path in first.iterdir()}
            self.assertNotEqual(after.pop("redis-monitor"), before.pop("redis-monitor"))
            self.assertEqual(after, before, "what is there stays")

    def test_images_are_pinned(self) -> None:
        for name, service in SERVICES.items():
            if "build" not in service:
                self.assertRegex(service["image"], r":v?\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$", name)

    def test_our_containers_have_no_more_rights_than_in_a_cluster(self) -> None:
        ours = [service for service in SERVICES.values() if "build" in service]
        self.assertEqual(len(ours), 5)
        for service in ours:
            self.assertTrue(service["read_only"])
            self.assertEqual(service["cap_drop"], ["ALL"])
            self.assertEqual(service["mem_limit"], "2500m")

    def test_prometheus_scrapes_existing_services(self) -> None:
        targets = re.findall(r'"([a-z0-9-]+):(\d+)"', (ROOT / "manifests/monitoring/compose/prometheus.yml").read_text())
        self.assertTrue(targets)
        for host, port in targets:
            self.assertIn(host, SERVICES)
            self.assertEqual(SERVICES[host]["environment"]["TALLYCAST__METRICS__PORT"], port)

    def test_prometheus_sends_alerts_to_the_existing_alertmanager(self) -> None:
        alerting = read_yaml("manifests/monitoring/compose/prometheus.yml")["alerting"]
        (found,) = alerting["alertmanagers"][0]["dns_sd_configs"]
        service = SERVICES[found["names"][0]]
        self.assertTrue(service["ports"][0].endswith(f":{found['port']}"))
        config = read_yaml("manifests/monitoring/alertmanager/alertmanager.yml")
        mounted = {mount.split(":")[1] for mount in service["volumes"]}
        for receiver in config["receivers"]:
            for slack in receiver["slack_configs"]:
                self.assertIn(str(Path(slack["api_url_file"]).parent), mounted)

    def test_nginx_resolves_the_name_that_every_pod_has(self) -> None:
        name, _, port = SERVICES["nginx"]["command"][-1].partition(":")
        bearers = {
            service
            for service, told in SERVICES.items()
            if name in (told.get("networks") or {}).get("default", {}).get("aliases", [])
        }
        pods = {name for name in SERVICES if name.startswith("pod-")}
        self.assertEqual((bearers, len(pods)), (pods, 2))
        self.assertEqual(SERVICES["admin"]["ports"][0].rpartition(":")[2], port, "they listen on one port")

    def test_the_check_can_be_run_and_reads_no_secret_file(self) -> None:
        check = SERVICES["check"]
        self.assertEqual((check["profiles"], check["network_mode"]), (["check"], "host"))
        server = ROOT / "target/debug/tallycast"
        self.assertTrue(server.is_file(), "run `cargo build` first")
        with tempfile.TemporaryDirectory() as folder:
            certs = Path(folder) / "certs"
            make_certs(certs)
            mounted = dict(mount.rsplit(":", 2)[:2][::-1] for mount in check["volumes"])
            for source in mounted.values():
                readable = (certs / Path(source).name).stat().st_mode & 0o004
                self.assertTrue(readable, f"{source}: the container is another user")
            command = [str(certs / Path(mounted[word]).name) if word in mounted else word for word in check["command"]]
            # nobody listens there
            command[command.index("--url") + 1] = "http://127.0.0.1:1"
            told = check["environment"]
            self.assertEqual(told, {"TALLYCAST__EMCEE__KEY_FILE": "/run/secrets/emcee-key"})
            told = {"TALLYCAST__EMCEE__KEY_FILE": str(make_secrets(Path(folder) / "secrets") / "emcee-key")}
            ran = subprocess.run([server, *command], env=told, capture_output=True, text=True, check=False)
            self.assertIn("nothing answers at http://127.0.0.1:1", ran.stderr)


@unittest.skipUnless(os.geteuid() == 0, "only root may run something with the rights of a container")
class Nginx(unittest.TestCase):
    """The container, as far as its rights go: the user and capabilities that compose.yaml gives it."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        # workers are somebody else
        self.folder.chmod(0o755)
        https, http, self.probe = free_ports(3, range(20_000, 32_000))
        swaps = {
            # first, since the others lead below it
            "/tmp/": f"{self.folder}/tmp/",
            "/etc/tallycast/nginx": f"{self.folder}/nginx",
            "/etc/tallycast/tls": f"{self.folder}/certs",
            "8443": str(https),
            "8082": str(http),
            "8081": str(self.probe),
        }
        shutil.copytree(ROOT / "manifests/base/nginx", self.folder / "nginx")
        shutil.copy(ROOT / "compose/nginx.sh", self.folder)
        for path in [*self.folder.glob("nginx/*.conf"), self.folder / "nginx.sh"]:
            text = path.read_text()
            for before, after in swaps.items():
                text = text.replace(before, after)
            path.write_text(text)
        make_certs(self.folder / "certs")

    def rights(self, owner: int) -> list[str]:
        """Of the container, if the certificates are this user's."""
        nginx = SERVICES["nginx"]
        user, group = re.sub(r"\$\{CERTS_USER:-.*\}", f"{owner}:{owner}", nginx["user"]).split(":")
        self.assertEqual(nginx["cap_drop"], ["ALL"])
        kept = ",".join(["-all", *(f"+{name.lower()}" for name in nginx.get("cap_add", []))])
        ids = ["--reuid", user, "--regid", group, "--clear-groups"]
        return ["setpriv", *ids, f"--bounding-set={kept}", f"--inh-caps={kept}", "--no-new-privs"]

    def test_nginx_reads_the_key_whoever_owns_it_and_runs_without_privileges(self) -> None:
        for owner in (0, 1000):
            with self.subTest(owner=owner):
                shutil.rmtree(self.folder / "tmp", ignore_errors=True)
                (self.folder / "tmp").mkdir()
                (self.folder / "tmp").chmod(0o1777)
                for path in [self.folder / "certs", *self.folder.glob("certs/*")]:
                    os.chown(path, owner, owner)
                log = (self.folder / "log").open("w+")
                told = os.environ | {"RESOLVER": "127.0.0.1:9"}
                command = [*self.rights(owner), "sh", self.folder / "nginx.sh", *SERVICES["nginx"]["command"][2:]]
                child = subprocess.Popen(command, env=told, stderr=log)
                try:
                    until = time.monotonic() + PATIENCE_SECONDS
                    while not connects(self.probe):
                        said = (self.folder / "log").read_text()
                        self.assertIsNone(child.poll(), f"nginx ended: {said}")
                        self.assertLess(time.monotonic(), until, "nginx does not listen")
                        time.sleep(0.02)
                    # workers talk to strangers
                    while sum(bool(re.search(r"(?m)^CapEff:\s0+$", one)) for one in workers(child.pid)) != 2:
                        self.assertLess(time.monotonic(), until, "a worker keeps its rights")
                        time.sleep(0.02)
                    for status in workers(child.pid):
                        self.assertNotRegex(status, r"(?m)^Uid:\s0", "it is root")
                finally:
                    child.send_signal(signal.SIGQUIT)
                    self.assertEqual(child.wait(PATIENCE_SECONDS), 0)
                    log.close()


def make_certs(folder: Path) -> None:
    told = os.environ | {"CERTS": str(folder)}
    subprocess.run([ROOT / "scripts/certs.sh"], env=told, stdout=subprocess.DEVNULL, check=True)


def make_secrets(folder: Path) -> Path:
    told = os.environ | {"SECRETS": str(folder)}
    subprocess.run([ROOT / "scripts/secrets.sh"], env=told, stdout=subprocess.DEVNULL, check=True)
    return folder


def workers(parent: int) -> list[str]:
    """What the kernel says of each."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [Path(f"/proc/{child}/status").read_text() for child in children]


def connects(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
