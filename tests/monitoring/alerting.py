#!/usr/bin/env python3
"""Whom alerts tell: the shipped Alertmanager configuration in a real Alertmanager, with a chat that notes every post.

Needs Alertmanager and amtool (Debian package prometheus-alertmanager).
"""

import datetime
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

import texts
from dashboards import free_port, until
from texts import COMPONENTS, MONITORING, Object

CONFIG = MONITORING / "alertmanager" / "alertmanager.yml"
OPERATOR = COMPONENTS / "alerting" / "alertmanager-config.yaml"
# Debian has it under a longer name
PROGRAM = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")

# What threatens stored votes, and so wakes somebody at any hour.
THREATS = {("TallycastNumbersDisagree", "acknowledged-stored"), ("TallycastLedgerErrors", "critical")}


def snake(value: Any) -> Any:
    """An AlertmanagerConfig's parts in the words of Alertmanager itself."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, inner in value.items():
        if key == "apiURL":
            made["api_url_file"] = f"/etc/alertmanager/secrets/{inner['key']}"
        elif key in ("matchers", "sourceMatch", "targetMatch"):
            name = {"matchers": "matchers", "sourceMatch": "source_matchers", "targetMatch": "target_matchers"}[key]
            made[name] = [f"{m['name']} {m.get('matchType', '=')} {m['value']}" for m in inner]
        elif key == "muteTimeIntervals":
            made["time_intervals"] = snake(inner)
        else:
            made[re.sub("[A-Z]", lambda found: "_" + found[0].lower(), key)] = snake(inner)
    return made


def without_places(config: Object) -> Object:
    """The object for the operator knows no time zones."""
    for interval in config["time_intervals"]:
        for part in interval["time_intervals"]:
            part.pop("location", None)
    return config


class Chat:
    """Two incoming webhooks; notes what is posted to each."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str]] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                said = body["attachments"][0]
                posts.append((self.path.strip("/"), f"{said['title']}\n{said['text']}"))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, hook: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{hook}"


class Alertmanager:
    """The shipped configuration, with this chat's webhooks, groups that wait a second, and a show that is on or not."""

    def __init__(self, chat: Chat, show_is_on: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        config = texts.read_yaml(CONFIG)
        config["route"]["group_wait"] = "1s"
        for receiver in config["receivers"]:
            for slack in receiver["slack_configs"]:
                hook = Path(slack["api_url_file"]).name
                (folder / hook).write_text(chat.url(hook))
                slack["api_url_file"] = str(folder / hook)
        # a year that is, or one that is long past
        year = "2020:2100" if show_is_on else "1999"
        for interval in config["time_intervals"]:
            interval["time_intervals"] = [{"years": [year]}]
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(folder / "log", "wb")
        assert PROGRAM
        self.child = subprocess.Popen(
            [PROGRAM, f"--config.file={file}", f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
             "--cluster.listen-address="], stdout=self.log, stderr=self.log)
        until("alertmanager", self.is_ready)

    def is_ready(self) -> bool:
        if self.child.poll() is not None:
            raise AssertionError(f"it ended: {Path(self.log.name).read_text()}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tell(self, alerts: list[Object]) -> None:
        """As Prometheus does."""
        body = json.dumps(alerts).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=5).close()

    def end(self) -> None:
        self.child.terminate()
        self.child.wait(30)
        self.log.close()
        self.folder.cleanup()


def every_alert() -> list[Object]:
    """Each alert of the rules as Prometheus would send it."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    made = []
    for rule in texts.alerts():
        labels = {"alertname": rule["alert"], "namespace": "hall"} | rule["labels"]
        if "pod" in rule["expr"]:
            labels["pod"] = "tallycast-server-1"
        made.append({"labels": labels, "annotations": rule["annotations"], "startsAt": now})
    return made


def is_threat(labels: Object) -> bool:
    told = (labels["numbers"] if "numbers" in labels else labels["severity"])
    return (labels["alertname"], told) in THREATS


class Files(unittest.TestCase):
    def test_amtool_accepts_the_configuration(self) -> None:
        checked = subprocess.run(["amtool", "check-config", str(CONFIG)], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_operators_configuration_is_the_same(self) -> None:
        plain, operator = without_places(texts.read_yaml(CONFIG)), snake(texts.read_yaml(OPERATOR)["spec"])
        self.assertEqual(operator, plain)

    def test_every_alert_has_a_receiver_and_threats_to_votes_page_somebody(self) -> None:
        self.assertEqual({labels for labels in THREATS if labels[0] not in
                          {rule["alert"] for rule in texts.alerts()}}, set(), "an alert that there is not")
        for alert in every_alert():
            labels = alert["labels"]
            command = ["amtool", "config", "routes", "test", f"--config.file={CONFIG}"]
            found = subprocess.run([*command, *(f"{key}={value}" for key, value in labels.items())],
                                   capture_output=True, text=True, check=False)
            self.assertEqual(found.returncode, 0, found.stderr)
            wanted = "page" if labels["severity"] == "critical" else "chat"
            self.assertEqual(found.stdout.split(), [wanted], labels)

    def test_every_inhibit_rule_names_existing_alerts(self) -> None:
        known = {rule["alert"] for rule in texts.alerts()}
        named = set(re.findall(r"Tallycast[A-Z][A-Za-z]+", CONFIG.read_text()))
        self.assertLessEqual(named, known)


class Told(unittest.TestCase):
    """The messages that a chat gets."""

    def posts(self, show_is_on: bool, alerts: list[Object], enough: int) -> list[tuple[str, str]]:
        chat = Chat()
        alertmanager = Alertmanager(chat, show_is_on)
        try:
            alertmanager.tell(alerts)
            until("the chat is told", lambda: len(chat.posts) >= enough)
            # groups wait a second, so all messages have been sent by then
            time.sleep(3)
        finally:
            alertmanager.end()
            chat.server.shutdown()
            chat.server.server_close()
        return chat.posts

    def test_outside_show_hours_only_threats_to_votes_are_sent(self) -> None:
        posts = self.posts(False, every_alert(), 1)
        self.assertEqual([hook for hook, _ in posts], ["page-url"])
        said = posts[0][1]
        told = set(re.findall(r"\((Tallycast\w+), (\w+)\)", said))
        self.assertEqual(told, {("TallycastNumbersDisagree", "critical"), ("TallycastLedgerErrors", "critical")})
        self.assertEqual(said.count("TallycastNumbersDisagree,"), 1, "shown and stored can wait")

    def test_in_a_show_causes_are_sent_and_their_consequences_are_inhibited(self) -> None:
        down = [alert for alert in every_alert() if alert["labels"]["alertname"] in
                ("TallycastNotReady", "TallycastLedgerErrors", "TallycastAckSlow")
                and not is_threat(alert["labels"])]
        self.assertEqual({alert["labels"]["severity"] for alert in down}, {"warning", "critical"})
        posts = self.posts(True, down, 1)
        self.assertEqual([hook for hook, _ in posts], ["page-url"], "the warnings follow from it")
        self.assertIn("(TallycastNotReady, critical)", posts[0][1])

    def test_in_a_show_warnings_go_to_the_chat_once_for_each_hall_and_room(self) -> None:
        warnings = [alert for alert in every_alert() if alert["labels"]["severity"] == "warning"
                    and alert["labels"]["alertname"] != "TallycastAckSlow"]
        elsewhere = [alert | {"labels": alert["labels"] | {"namespace": "elsewhere"}} for alert in warnings[:2]]
        room = [warnings[0] | {"labels": warnings[0]["labels"] | {"room": "KHXRPM"}}]
        posts = self.posts(True, warnings + elsewhere + room, 3)
        titles = sorted((hook, said.splitlines()[0]) for hook, said in posts)
        self.assertEqual(titles, [("chat-url", "FIRING: Tallycast in elsewhere"), ("chat-url", "FIRING: Tallycast in hall"),
                                  ("chat-url", "FIRING: Tallycast in hall, room KHXRPM")])
        hall = next(said for _, said in posts if "in hall\n" in said)
        for alert in warnings:
            self.assertIn(f"({alert['labels']['alertname']}, warning)", hall)
            self.assertIn(f"/{alert['annotations']['runbook_url']}|", hall)


if __name__ == "__main__":
    if not PROGRAM or not shutil.which("amtool"):
        sys.exit("alertmanager or amtool is missing: scripts/deps.sh installs them")
    unittest.main(verbosity=1)
