"""A load test in a cluster that is made up: what is started, what is deleted and when, and how it ends."""

import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from project import ROOT

# Every call is recorded. log.1, log.2 … are the answers of `logs`, one for each call; after the last the load test has
# ended. A file `endless` lets the last one run until the Job is deleted.
KUBECTL = """\
#!/usr/bin/env bash
echo "$*" >>"$WORLD/calls"
case "$*" in
  "config current-context") echo the-staging-cluster ;;
  *"get job "*) cat "$WORLD/active" ;;
  *"get pods"*".status.phase}"*) cat "$WORLD/phase" ;;
  *"get pods"*"exitCode}"*) [[ ! -e $WORLD/ended ]] || cat "$WORLD/code" ;;
  *"get pods"*".metadata.name}"*) printf tallycast-loadtest-x7k2p ;;
  *"get pods"*"component=server"*) printf 'pod/tallycast-server-%s\\n' a b ;;
  *" logs "*)
    read -r turn <"$WORLD/turn"
    echo "$((turn + 1))" >"$WORLD/turn"
    cat "$WORLD/log.$turn"
    [[ -e $WORLD/log.$((turn + 1)) ]] || touch "$WORLD/ended"
    while [[ -e $WORLD/endless ]]; do sleep 0.05; done ;;
  *"delete job"*"--wait=false"*) rm -f "$WORLD/endless" ;;
  *"delete job"* | *"delete --wait=false"* | apply*) ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
"""
START = "delete job tallycast-loadtest --ignore-not-found --cascade=foreground"


class InTheCluster(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.world = Path(folder.name)
        (self.world / "bin").mkdir()
        (self.world / "bin/kubectl").write_text(KUBECTL)
        (self.world / "bin/kubectl").chmod(0o755)
        for name, text in {"calls": "", "active": "", "phase": "Running", "turn": "1", "code": "0"}.items():
            (self.world / name).write_text(text + "\n" * (name == "turn"))

    def logs(self, *texts: str) -> None:
        for number, text in enumerate(texts, 1):
            (self.world / f"log.{number}").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        told = {"PATH": f"{self.world}/bin:{os.environ['PATH']}", "WORLD": str(self.world), "PAUSE": "0.05", "PATIENCE": "1"}
        script = str(ROOT / "scripts/cluster_loadtest.sh")
        return subprocess.Popen(
            [script, *arguments], env=told, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run_it(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and complaints."""
        started = self.start(*arguments)
        output, complaints = started.communicate(timeout=60)
        return started.returncode, output, complaints

    def calls(self, word: str) -> list[str]:
        """The calls with a word in them, without the namespace."""
        lines = (self.world / "calls").read_text().splitlines()
        return [line.removeprefix("--namespace tallycast ") for line in lines if word in line]

    def test_it_prints_the_log_and_exits_as_the_load_test_did(self) -> None:
        self.logs("  ✓ ack.p99 < 250ms\nAUDIT: 3 differences\n")
        (self.world / "code").write_text("98")
        code, output, complaints = self.run_it("evening")
        self.assertEqual(code, 98, complaints)
        self.assertIn("the-staging-cluster", output)
        self.assertTrue(output.endswith("  ✓ ack.p99 < 250ms\nAUDIT: 3 differences\n"), output)
        changes = self.calls("delete") + self.calls("apply")
        task = "apply --kustomize manifests/tasks/loadtest --selector app.kubernetes.io/component=loadtest"
        self.assertEqual(changes, [START, task])

    def test_each_variant_has_its_task(self) -> None:
        for variant in ("tenfold", "disturbed"):
            with self.subTest(variant):
                self.setUp()
                self.logs("")
                self.assertEqual(self.run_it(variant)[0], 0)
                self.assertIn(f"manifests/tasks/loadtest-{variant} ", self.calls("apply")[0])

    def test_a_pod_and_the_ledger_are_restarted_once_at_the_planned_time(self) -> None:
        first = "phase one\nDISTURB: restart one pod of the server, and the ledger, now\n"
        # the log breaks off, and is read again from its beginning
        self.logs(first, f"{first}DISTURB: no more\nAUDIT: exact\n")
        code, output, complaints = self.run_it("disturbed")
        self.assertEqual(code, 0, complaints)
        self.assertEqual(
            self.calls("delete"), [START, "delete --wait=false pod/tallycast-server-a pod/tallycast-redis-0"]
        )
        self.assertEqual((output.count("phase one"), output.count("AUDIT: exact")), (1, 1), output)

    def test_the_evening_variant_restarts_nothing(self) -> None:
        self.logs("DISTURB: restart one pod of the server, and the ledger, now\n")
        self.assertEqual(self.run_it()[0], 0)
        self.assertEqual(self.calls("delete"), [START])

    def test_a_running_load_test_is_left_alone(self) -> None:
        (self.world / "active").write_text("1")
        code, _, complaints = self.run_it("evening")
        self.assertEqual((code, self.calls("delete") + self.calls("apply")), (1, []))
        self.assertIn("is running", complaints)

    def test_a_pod_that_does_not_start_is_reported_with_where_to_look(self) -> None:
        (self.world / "phase").write_text("Pending")
        code, _, complaints = self.run_it("evening")
        self.assertEqual(code, 1)
        self.assertIn("kubectl -n tallycast describe job/tallycast-loadtest", complaints)

    def test_an_interrupt_ends_the_load_test_too(self) -> None:
        self.logs("votes\n")
        (self.world / "endless").touch()
        started = self.start("evening")
        assert started.stdout and started.stderr
        for line in started.stdout:
            if line == "votes\n":
                break
        started.send_signal(signal.SIGTERM)
        _, complaints = started.communicate(timeout=60)
        self.assertEqual(started.returncode, 105, complaints)
        self.assertEqual(self.calls("delete")[1:], ["delete job tallycast-loadtest --ignore-not-found --wait=false"])

    def test_an_unknown_variant_is_answered_with_the_list_of_variants(self) -> None:
        code, _, complaints = self.run_it("nightly")
        self.assertEqual((code, (self.world / "calls").read_text()), (2, ""))
        self.assertIn("[evening|tenfold|disturbed]", complaints)
