"""What the manifests say to Tallycast, Redis and nginx, said to the real ones."""

import json
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import yaml

import processes
import world
from objects import Pod, RenderedCheck, every_rendering, find, of_kind, pods, say, walk
from world import Object

# Variables that are no settings of the server: its stage, and where the command line finds it.
OTHERS = {"TALLYCAST_STAGE", "TALLYCAST_URL"}
LEDGER_URL = "TALLYCAST__LEDGER__URL"
SECONDS = {"s": 1, "m": 60}


def settings() -> set[str]:
    """The variables of all settings."""
    default = tomllib.loads(world.current().file("config/default.toml").read_text(encoding="utf-8"))
    return {f"TALLYCAST__{section}__{key}".upper() for section, keys in default.items() for key in keys}


def config_map(objects: list[Object], name: str) -> dict[str, str]:
    """The data of a ConfigMap, whatever its hash."""
    return next(
        m["data"]
        for m in of_kind(objects, "ConfigMap")
        if re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", m["metadata"]["name"])
    )


def environment(objects: list[Object], pod: Pod) -> dict[str, str]:
    """What a pod's process finds in its environment, without what comes from Secrets."""
    container = pod.spec["containers"][0]
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= find(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {v["name"]: v["value"] for v in container.get("env", []) if "value" in v}


def ledgers() -> dict[frozenset[tuple[str, str]], str]:
    """Every way in which a pod is told where the ledger is, and a rendering that does so."""
    found: dict[frozenset[tuple[str, str]], str] = {}
    for name, objects in world.current().renderings.items():
        for pod in pods(objects):
            for container in pod.spec["containers"]:
                named = {variable["name"] for variable in container.get("env", [])}
                told = environment(objects, pod)
                # what comes from a Secret is not known here
                if LEDGER_URL in named - told.keys():
                    told[LEDGER_URL] = "redis://user:password@127.0.0.1:1/0"
                address = {key: told[key] for key in (LEDGER_URL, "REDIS_HOST", "REDIS_PORT") if key in told}
                if address:
                    found.setdefault(frozenset(address.items()), name)
    return found


def variables(objects: list[Object]) -> Iterator[tuple[str, str]]:
    """Owner and name of every variable of every container, and of the ConfigMaps with settings."""
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                yield say(pod.owner), variable["name"]
    for name in config_map(objects, "tallycast-config"):
        yield "ConfigMap tallycast-config", name


@cache
def exposed() -> frozenset[str]:
    """The names of all metrics that a fresh server exposes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = processes.free_port()
        told = {"SERVER_PORT": str(port), "TALLYCAST__LEDGER__URL": f"embedded:{folder}/ledger.redb"}
        server = processes.start_tallycast(stack, told)
        processes.ask(f"http://127.0.0.1:{port}/readyz", server)
        text = processes.ask(f"http://127.0.0.1:{port}/metrics", server)
    return frozenset(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


class Settings(RenderedCheck):
    """The environment of the pods."""

    @every_rendering
    def test_every_variable_is_a_setting_that_exists(self, objects: list[Object]) -> None:
        known = settings() | OTHERS
        for owner, name in variables(objects):
            if name.startswith("TALLYCAST_"):
                self.assertIn(name, known, owner)

    def test_every_role_starts_and_is_ready_with_its_settings_and_this_redis(self) -> None:
        processes.need("redis-server")
        objects = world.current().renderings["overlay production"]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            redis = processes.start_redis(
                stack,
                folder,
                config_map(objects, "tallycast-redis")["redis.conf"].replace("dir /data", f"dir {folder}"),
            )
            for name in ("server-secret", "emcee-key"):
                (folder / name).write_text("0123456789abcdef0123456789abcdef", encoding="utf-8")
            for pod in pods(objects):
                if pod.owner["kind"] != "Deployment":
                    continue
                with ExitStack() as inner:
                    metrics = processes.free_port()
                    told = {
                        key: value.replace("/run/secrets/tallycast", str(folder))
                        for key, value in environment(objects, pod).items()
                    }
                    told |= {
                        "REDIS_HOST": "127.0.0.1",
                        "REDIS_PORT": str(redis),
                        "SERVER_PORT": str(processes.free_port()),
                        "TALLYCAST__METRICS__PORT": str(metrics),
                    }
                    server = processes.start_tallycast(inner, told)
                    answer = json.loads(processes.ask(f"http://127.0.0.1:{metrics}/readyz", server))
                    self.assertEqual(answer["warnings"], [], say(pod.owner))

    def test_the_server_takes_the_address_of_every_ledger(self) -> None:
        processes.need()
        for address, rendering in ledgers().items():
            port = processes.free_port()
            told = dict(address) | {
                "SERVER_PORT": str(port),
                "TALLYCAST__METRICS__PORT": "0",
                "TALLYCAST__SERVER__ROLE": "audience",
                "TALLYCAST__SERVER__SECRET": "0123456789abcdef",
            }
            with self.subTest(rendering=rendering), ExitStack() as stack:
                server = processes.start_tallycast(stack, told)
                processes.ask(f"http://127.0.0.1:{port}/healthz", server)

    @every_rendering
    def test_the_limits_of_nginx_lie_above_the_capacity_of_the_process(self, objects: list[Object]) -> None:
        capacity = int(config_map(objects, "tallycast-config")["TALLYCAST__SERVER__MAX_SOCKETS"])
        files = config_map(objects, "tallycast-nginx")
        main, site = files["nginx.conf"], files["site.conf"]

        def number(pattern: str, text: str) -> int:
            found = re.search(pattern, text)
            assert found, pattern
            return int(found[1])

        self.assertGreater(number(r"limit_conn addresses (\d+);", main), capacity, "a hall behind one address")
        connections = number(r"worker_connections (\d+);", main)
        self.assertGreater(connections, 2 * capacity + 1000, "each voter is two connections")
        self.assertGreaterEqual(number(r"worker_rlimit_nofile (\d+);", main), 2 * connections - 1)
        read = re.search(r"location = /ws \{[^}]*proxy_read_timeout (\d+)([sm]);", site)
        assert read
        self.assertGreater(int(read[1]) * SECONDS[read[2]], 60, "the process pings each 20 s and waits for 60 s")

    @every_rendering
    def test_nginx_takes_its_configuration(self, objects: list[Object]) -> None:
        if not shutil.which("nginx"):
            raise unittest.SkipTest("there is no nginx: scripts/deps.sh installs it")
        files = config_map(objects, "tallycast-nginx")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            script = world.ROOT / "scripts/certs.sh"
            subprocess.run(
                [script], env={"CERTS": str(folder / "tls"), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True
            )
            for name, text in files.items():
                text = text.replace("/etc/tallycast/tls/", f"{folder}/tls/").replace(
                    "/etc/tallycast/internal-tls/", f"{folder}/tls/"
                )
                (folder / name).write_text(text.replace("/tmp/nginx", f"{folder}/nginx"), encoding="utf-8")
            tested = subprocess.run(
                ["nginx", "-t", "-c", folder / "nginx.conf"], capture_output=True, text=True, check=False
            )
            self.assertEqual(tested.returncode, 0, tested.stderr)
            self.assertNotIn("[emerg]", tested.stderr)


class Metrics(RenderedCheck):
    """Rules, dashboards and scalers ask for series that there are."""

    def adapter(self) -> dict[str, str]:
        """Names and queries of the metrics that the adapter makes for autoscaling-hpa."""
        values = (
            world.current().file("manifests/components/autoscaling-hpa/adapter-values.yaml").read_text(encoding="utf-8")
        )
        rules = [rule for mapping in walk(yaml.safe_load(values)) for rule in mapping.get("external", [])]
        return {rule["name"]["as"]: rule["seriesQuery"] + rule["metricsQuery"] for rule in rules}

    def queries(self, objects: list[Object]) -> Iterator[tuple[str, str]]:
        """Owner and text of everything that is asked of Prometheus."""
        for item in of_kind(objects, "ScaledObject", "PrometheusRule"):
            yield say(item), json.dumps(item["spec"])
        for item in of_kind(objects, "HorizontalPodAutoscaler"):
            for name, query in self.adapter().items():
                yield f"{say(item)}, {name}", query
        for item in of_kind(objects, "ConfigMap"):
            if "grafana_dashboard" in item["metadata"].get("labels", {}):
                for name, text in item["data"].items():
                    yield f"{say(item)}, {name}", text

    @every_rendering
    def test_every_series_that_is_asked_for_exists(self, objects: list[Object]) -> None:
        processes.need()
        for owner, text in self.queries(objects):
            for name in set(re.findall(r"\btallycast_[a-z0-9_]+\b", text)):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertTrue({name, base} & exposed(), f"{owner} asks for {name}")

    @every_rendering
    def test_a_plain_autoscaler_asks_for_what_the_adapter_makes(self, objects: list[Object]) -> None:
        for item in of_kind(objects, "HorizontalPodAutoscaler"):
            for metric in (m for m in item["spec"]["metrics"] if m["type"] == "External"):
                self.assertIn(metric["external"]["metric"]["name"], self.adapter(), say(item))

    @every_rendering
    def test_every_recorded_series_that_is_asked_for_is_recorded(self, objects: list[Object]) -> None:
        recorded = {
            rule["record"]
            for item in of_kind(objects, "PrometheusRule")
            for group in item["spec"]["groups"]
            for rule in group["rules"]
            if "record" in rule
        }
        if not of_kind(objects, "PrometheusRule"):
            # without the component monitoring the CPU is all that there is to scale by
            for item in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
                metrics = item["spec"].get("metrics") or item["spec"]["triggers"]
                self.assertIn("cpu", [m.get("resource", {}).get("name") or m["type"] for m in metrics], say(item))
            return
        for owner, text in self.queries(objects):
            for name in set(re.findall(r"\btallycast:[a-z0-9_:]+\b", text)):
                self.assertIn(name, recorded, f"{owner} asks for {name}")
