"""The settings of the manifests, tried with the real Tallycast, Redis and nginx."""

import json
import os
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


def mounted(pod: Pod, secrets: Path, folder: Path) -> dict[str, str]:
    """Puts what a pod has of the Secret tallycast below a folder. Gives the folder of each mount."""
    found = {}
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    for mount in pod.spec["containers"][0].get("volumeMounts", []):
        if wanted := volumes.get(mount["name"], {}).get("secret"):
            there = folder / mount["name"]
            there.mkdir(parents=True)
            for item in wanted["items"]:
                if (secrets / item["key"]).exists():
                    shutil.copy(secrets / item["key"], there / item["path"])
            found[mount["mountPath"]] = str(there)
    return found


def ledgers() -> dict[frozenset[tuple[str, str]], str]:
    """Every way to give a pod the address of the ledger, and a rendering that uses it."""
    found: dict[frozenset[tuple[str, str]], str] = {}
    for name, objects in world.current().renderings.items():
        for pod in pods(objects):
            for _ in pod.spec["containers"]:
                told = environment(objects, pod)
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


def need_nginx() -> None:
    """Leaves a check out where there is none."""
    if not shutil.which("nginx"):
        raise unittest.SkipTest("there is no nginx: scripts/deps.sh installs it")


def prepare_nginx(files: dict[str, str], folder: Path, ports: dict[int, int]) -> Path:
    """Puts nginx's files and a certificate into a folder, with other ports, and gives the main one."""
    script, told = world.ROOT / "scripts/certs.sh", {"CERTS": str(folder / "tls"), "PATH": "/usr/bin:/bin"}
    subprocess.run([script], env=told, check=True, capture_output=True)
    folder.chmod(0o755)
    for name, text in files.items():
        text = text.replace("/etc/tallycast/tls/", f"{folder}/tls/")
        text = text.replace("/etc/tallycast/internal-tls/", f"{folder}/tls/").replace("/tmp/nginx", f"{folder}/nginx")
        for inner, outer in ports.items():
            text = text.replace(f"listen {inner}", f"listen {outer}")
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "nginx.conf"


@cache
def judge_nginx(files: frozenset[tuple[str, str]]) -> str:
    """What nginx has against a configuration: most renderings have the same."""
    with tempfile.TemporaryDirectory() as temporary:
        main = prepare_nginx(dict(files), Path(temporary), {})
        tested = subprocess.run(["nginx", "-t", "-c", main], capture_output=True, text=True, check=False)
    return tested.stderr if tested.returncode != 0 or "[emerg]" in tested.stderr else ""


def start_nginx(
    stack: ExitStack, files: dict[str, str], folder: Path, ports: dict[int, int]
) -> "subprocess.Popen[str]":
    """Starts nginx with this configuration. Ports that are not named get free ones."""
    every = {int(port) for port in re.findall(r"listen (\d+)", "".join(files.values()))}
    chosen = {port: processes.free_port() for port in every} | ports
    main = prepare_nginx(files, folder, chosen)
    return processes.start(stack, ["nginx", "-c", str(main), "-e", "stderr"], gently=True)


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
            # as the page tells the operator to make them
            secrets, made = folder / "secrets", {"SECRETS": str(folder / "secrets"), "PATH": os.environ["PATH"]}
            subprocess.run([world.ROOT / "scripts/secrets.sh"], env=made, check=True, capture_output=True)
            redis = processes.start_redis(stack, folder, config_map(objects, "tallycast-redis"), secrets)
            for pod in pods(objects):
                if pod.owner["kind"] != "Deployment":
                    continue
                with ExitStack() as inner:
                    metrics = processes.free_port()
                    told = environment(objects, pod)
                    for path, there in mounted(pod, secrets, folder / pod.owner["metadata"]["name"]).items():
                        told = {key: value.replace(path, there) for key, value in told.items()}
                    told |= {
                        "REDIS_HOST": "127.0.0.1",
                        "REDIS_PORT": str(redis),
                        "SERVER_PORT": str(processes.free_port()),
                        "TALLYCAST__METRICS__PORT": str(metrics),
                    }
                    server = processes.start_tallycast(inner, told)
                    answer = json.loads(processes.ask(f"http://127.0.0.1:{metrics}/readyz", server))
                    self.assertEqual(answer["warnings"], [], say(pod.owner))

    @every_rendering
    def test_no_secret_is_in_an_environment(self, objects: list[Object]) -> None:
        default = tomllib.loads(world.current().file("config/default.toml").read_text(encoding="utf-8"))
        by_file = {
            f"TALLYCAST__{section}__{key}".upper()
            for section, keys in default.items()
            for key in keys
            if f"{key}_file" in keys
        }
        self.assertEqual(len(by_file), 4, by_file)
        for pod in pods(objects):
            for container in pod.containers:
                name = f"{say(pod.owner)}, {container['name']}"
                for source in container.get("envFrom", []):
                    self.assertNotIn("secretRef", source, name)
                for variable in container.get("env", []):
                    self.assertNotIn("secretKeyRef", variable.get("valueFrom", {}), f"{name}: {variable['name']}")
        for owner, name in variables(objects):
            self.assertNotIn(name, by_file, owner)
        for owner, text in ((say(m), text) for m in of_kind(objects, "ConfigMap") for text in m["data"].values()):
            self.assertNotRegex(text, r"rediss?://[^/@\s]*:[^/@\s]+@", f"{owner} has a password")

    @every_rendering
    def test_a_pod_has_the_keys_of_its_role_and_no_others(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            keys = {
                item["key"]
                for volume in pod.spec.get("volumes", [])
                if volume.get("secret", {}).get("secretName") == "tallycast"
                for item in volume["secret"]["items"]
            }
            match pod.labels.get("app.kubernetes.io/component"):
                case "server":
                    self.assertEqual(keys, {"server-secret", "redis-audience"})
                case "admin":
                    self.assertEqual(keys, {"server-secret", "emcee-key", "redis-tallycast"})
                case "worker":
                    self.assertEqual(keys, {"server-secret", "webhook-url", "redis-tallycast"})
                case "ledger" | "ledger-sentinel":
                    self.assertTrue(all(key.startswith("redis-") for key in keys), say(pod.owner))
                case _:
                    self.assertLessEqual(keys, {"emcee-key", "webhook-url", "loadtest-upload"}, say(pod.owner))

    @every_rendering
    def test_a_pod_signs_in_to_redis_with_the_password_of_its_user(self, objects: list[Object]) -> None:
        for pod in pods(objects):
            if pod.owner["kind"] != "Deployment":
                continue
            user = environment(objects, pod)["TALLYCAST__LEDGER__USER"]
            volume = next(v["secret"] for v in pod.spec["volumes"] if v["name"] == "secrets")
            keys = [item["key"] for item in volume["items"] if item["path"] == "redis-password"]
            self.assertEqual(keys, [f"redis-{user}"], say(pod.owner))
            known = [m["data"]["users.acl"] for m in of_kind(objects, "ConfigMap") if "users.acl" in m["data"]]
            for text in known:
                self.assertIn(f"\nuser {user} on #redis-{user}", text)
            role = "audience" if pod.owner["metadata"]["name"] == "tallycast-server" else "tallycast"
            self.assertEqual(user, role, say(pod.owner))

    def test_the_server_accepts_the_address_of_every_ledger(self) -> None:
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
    def test_nginx_accepts_its_configuration(self, objects: list[Object]) -> None:
        need_nginx()
        complaint = judge_nginx(frozenset(config_map(objects, "tallycast-nginx").items()))
        self.assertEqual(complaint, "")

    def test_plain_http_is_redirected_to_https_under_the_same_name(self) -> None:
        need_nginx()
        objects = world.current().renderings["overlay production"]
        # as a phone comes: by port 80 of the Service to that port of the pod
        service = find(objects, "Service", "tallycast-server")
        target = next(port["targetPort"] for port in service["spec"]["ports"] if port["port"] == 80)
        pod = next(pod for pod in pods(objects) if say(pod.owner) == "Deployment tallycast-server")
        inner, free = pod.ports[target], processes.free_port()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            nginx = start_nginx(stack, config_map(objects, "tallycast-nginx"), folder, {inner: free})

            def ask(request: str) -> str:
                with processes.connect(free, nginx) as phone:
                    phone.sendall(request.encode())
                    return b"".join(iter(lambda: phone.recv(65536), b"")).decode()

            for method in ("GET", "POST"):
                heads = ("Host: vote.example.org:80", "Content-Length: 0", "Connection: close", "", "")
                answer = ask(f"{method} /r/AB12?x=1 HTTP/1.1\r\n" + "\r\n".join(heads))
                self.assertRegex(answer, r"^HTTP/1.1 301 ")
                self.assertIn("\r\nLocation: https://vote.example.org/r/AB12?x=1\r\n", answer)
                self.assertNotIn("nginx/", answer)
            for nameless in ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"):
                self.assertRegex(ask(nameless), r"^HTTP/1.1 400 ")


class Metrics(RenderedCheck):
    """Rules, dashboards and scalers query existing series."""

    def adapter(self) -> dict[str, str]:
        """Names and queries of the metrics that the adapter makes for autoscaling-hpa."""
        values = (
            world.current().file("manifests/components/autoscaling-hpa/adapter-values.yaml").read_text(encoding="utf-8")
        )
        rules = [rule for mapping in walk(yaml.safe_load(values)) for rule in mapping.get("external", [])]
        return {rule["name"]["as"]: rule["seriesQuery"] + rule["metricsQuery"] for rule in rules}

    def queries(self, objects: list[Object]) -> Iterator[tuple[str, str]]:
        """Owner and text of every Prometheus query."""
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
    def test_every_queried_series_exists(self, objects: list[Object]) -> None:
        processes.need()
        for owner, text in self.queries(objects):
            for name in set(re.findall(r"\btallycast_[a-z0-9_]+\b", text)):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertTrue({name, base} & exposed(), f"{owner} asks for {name}")

    @every_rendering
    def test_a_plain_autoscaler_queries_metrics_of_the_adapter(self, objects: list[Object]) -> None:
        for item in of_kind(objects, "HorizontalPodAutoscaler"):
            for metric in (m for m in item["spec"]["metrics"] if m["type"] == "External"):
                self.assertIn(metric["external"]["metric"]["name"], self.adapter(), say(item))

    @every_rendering
    def test_every_queried_recorded_series_is_recorded(self, objects: list[Object]) -> None:
        # also where the rules of an overlay are brought by somebody else
        recorded = {
            rule["record"]
            for rendered in world.current().renderings.values()
            for item in of_kind(rendered, "PrometheusRule")
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
