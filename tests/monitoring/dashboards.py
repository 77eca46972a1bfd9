#!/usr/bin/env python3
"""Every query of the dashboards, run by a real Prometheus after an evening.

Two servers over one Redis, the load test's voters, and Prometheus as `make monitor` starts it. TALLYCAST_BIN names the
server; the load test must be beside it.
"""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import texts
from collector import Collector
from texts import DASHBOARDS, ROOT

sys.path.append(str(ROOT / "tests/support"))

from ports import free_port  # noqa: E402

SERVER = Path(os.environ.get("TALLYCAST_BIN", ROOT / "target" / "debug" / "tallycast")).resolve()
KEY = "a-key-for-the-dashboards"
LIMIT_S = 60


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.1)


class Evening(unittest.TestCase):
    """One evening for all tests of it."""

    folder: "tempfile.TemporaryDirectory[str]"
    redis: "subprocess.Popen[bytes]"
    prometheus: str
    votes: int
    """Acknowledged to the voters, by their own count."""

    @classmethod
    def start(cls, name: str, command: list[str], environment: dict[str, str] | None = None,
              ) -> "subprocess.Popen[bytes]":
        log = open(Path(cls.folder.name) / f"{name}.log", "wb")
        cls.addClassCleanup(log.close)
        child = subprocess.Popen(command, cwd=ROOT, env=os.environ | (environment or {}), stdout=log, stderr=log)

        def end() -> None:
            child.terminate()
            try:
                child.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise

        cls.addClassCleanup(end)
        return child

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        redis, port = free_port(), free_port()
        cls.redis = cls.start("redis", [
            "redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--dir", cls.folder.name,
            "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"])
        until("redis", lambda: accepts(redis))
        pods = []
        for number in (1, 2):
            pod = f"127.0.0.1:{free_port()}"
            pods.append(pod)
            cls.start(f"pod-{number}", [str(SERVER)], {
                "TALLYCAST__SERVER__HOST": "127.0.0.1", "SERVER_PORT": pod.rpartition(":")[2],
                "TALLYCAST__EMCEE__KEY": KEY, "TALLYCAST__SERVER__SECRET": "a-secret-for-the-dashboards",
                "TALLYCAST__LEDGER__URL": f"redis://127.0.0.1:{redis}"})
        until("the pods", lambda: all(answers(f"http://{pod}/readyz") for pod in pods))
        cls.start("prometheus", [str(ROOT / "scripts" / "monitor.sh")],
                  {"TARGETS": " ".join(pods), "PORT": str(port), "DATA": f"{cls.folder.name}/prometheus"})
        cls.prometheus = f"http://127.0.0.1:{port}"
        until("prometheus", lambda: answers(f"{cls.prometheus}/-/ready"))
        urls = [word for pod in pods for word in ("--url", f"http://{pod}")]
        summary = Path(cls.folder.name) / "summary.json"
        voters = subprocess.run(
            [str(SERVER.with_name("loadtest")), "run", "evening", "--voters", "200", "--duration", "40s", "--quiet",
             "--key", KEY, "--json", str(summary), *urls], capture_output=True, text=True, check=False)
        # 99: a threshold on a busy machine; what counts here is that there was an evening
        if voters.returncode not in (0, 99):
            raise AssertionError(voters.stdout + voters.stderr)
        cls.votes = json.loads(summary.read_text())["counts"]["votes"]

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            self.fail(f"{parameters}: {error.read().decode()}")

    def test_every_panel_shows_numbers(self) -> None:
        asked = [query for path in DASHBOARDS for query in texts.queries(texts.dashboard(path))]
        self.assertGreater(len(asked), 40)
        for title, query in asked:
            with self.subTest(title, query=query):
                found = self.ask("query", query=query)["result"]
                self.assertTrue(found, "no data")
                values = [float(series["value"][1]) for series in found]
                self.assertTrue(any(map(math.isfinite, values)), values)

    def test_every_queried_series_exists(self) -> None:
        """Of dashboards and rules alike: where a query falls back to 0, a misspelt name would look like silence."""
        known = set(self.ask("label/__name__/values"))
        asked = set().union(*(texts.names(rule["expr"]) for rule in texts.rules()),
                            *(texts.names(query) for path in DASHBOARDS
                              for _, query in texts.queries(texts.dashboard(path))))
        self.assertGreater(len(asked), 30)
        self.assertEqual(sorted(asked - known), [])

    def firing(self) -> set[tuple[str, str]]:
        """Names and severities of the alerts that fire."""
        found = self.ask("query", query='ALERTS{alertstate="firing"}')["result"]
        return {(series["metric"]["alertname"], series["metric"]["severity"]) for series in found}

    def test_a_good_evening_raises_no_alarm(self) -> None:
        # a machine that runs tests promises no speed
        self.assertLessEqual(self.firing(), {("TallycastAckSlow", "warning"), ("TallycastLedgerSlow", "warning")})

    def test_the_three_numbers_agree_at_rest(self) -> None:
        def agree() -> bool:
            numbers = [self.ask("query", query=f"tallycast:votes_{name}")["result"][0]["value"][1]
                       for name in ("acknowledged:sum", "stored:max", "shown:max")]
            return numbers == [str(self.votes)] * 3

        # pods are scraped at different moments
        until(f"{self.votes} three times", agree)

    def test_the_collector_forwards_errors_and_the_audit_log_and_nothing_else(self) -> None:
        # a start that fails says why, and ends
        failed = subprocess.run([str(SERVER)], env={"TALLYCAST__SERVER__TICK_MS": "1"}, cwd=self.folder.name,
                                capture_output=True, text=True, check=False)
        logs = [Path(self.folder.name, f"pod-{number}.log").read_text() for number in (1, 2)] + [failed.stdout]
        lines = [line for log in logs for line in log.splitlines()]
        by_hand = {"/tallycast/error": [line for line in lines if '"level":"ERROR"' in line],
                   "/tallycast/audit": [line for line in lines if '"stream":"audit"' in line]}
        for kind, wanted in by_hand.items():
            self.assertTrue(wanted, f"there is nothing for {kind}")
            self.assertLess(len(wanted), len(lines), "there is something else too")
        acts = {json.loads(line)["event"] for line in by_hand["/tallycast/audit"]}
        self.assertLessEqual({"room_made", "command", "closed"}, acts)

        collector = Collector()
        file = "/var/log/containers/tallycast-server-6d5f7c9b4-x2x7z_tallycast_tallycast-0a1b2c.log"
        told: dict[str, list[Any]] = {kind: [] for kind in by_hand}
        for line in lines:
            for kind, record in collector.take(file, line):
                self.assertEqual(record["node"], "${NODE}")
                told[kind].append({key: value for key, value in record.items() if key != "node"})
        self.assertEqual(told, {kind: [json.loads(line) for line in wanted] for kind, wanted in by_hand.items()})
        # a panic is not a JSON object, and not on standard output
        panic = "thread 'main' panicked at src/main.rs:1:1:"
        self.assertEqual([(kind, record["log"]) for kind, record in collector.take(file, panic, "stderr")],
                         [("/tallycast/error", panic)])
        for other in ("tallycast-server-6d5f7c9b4-x2x7z_tallycast_nginx-0a1b2c.log", "x-1_tallycast_tallycast-0a.log",
                      "tallycast-server-6d5f7c9b4-x2x7z_staging_tallycast-0a1b2c.log"):
            self.assertEqual(collector.take(f"/var/log/containers/{other}", by_hand["/tallycast/audit"][0]), [])

    def test_a_lost_ledger_raises_the_alarm_until_the_outage_ends(self) -> None:
        """Runs last, by its name: it takes longer than the rates look back."""
        unready = {("TallycastNotReady", "warning"), ("TallycastNotReady", "critical")}
        alarms = unready | {("TallycastLedgerErrors", "warning")}
        self.redis.send_signal(signal.SIGSTOP)
        try:
            until("the alarms", lambda: alarms <= self.firing())
        finally:
            self.redis.send_signal(signal.SIGCONT)
        # alerts about errors last a minute longer
        until("all clear", lambda: not self.firing() & unready)


if __name__ == "__main__":
    if not SERVER.exists():
        sys.exit(f"{SERVER} is missing: cargo build --workspace")
    unittest.main(verbosity=1)
