"""Rules for workflows that the linters do not have, and checks of the scripts in them."""

import re
import subprocess
import unittest
from typing import Any, Iterator

from project import ROOT, read_yaml

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS: dict[str, dict[Any, Any]] = {path.name: read_yaml(str(path.relative_to(ROOT))) for path in FILES}
LONGEST_SCRIPT = 8


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            yield f"{file} {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for where, job in jobs():
        for step in job.get("steps", []):
            yield where, step


class Workflows(unittest.TestCase):
    def test_every_workflow_exists(self) -> None:
        self.assertEqual(set(WORKFLOWS), {"ci.yml", "scan.yml", "image.yml", "promote.yml", "release.yml", "loadtest.yml"})

    def test_no_workflow_runs_with_secrets_for_a_fork(self) -> None:
        for file, workflow in WORKFLOWS.items():
            # YAML 1.1 reads the key `on` as true
            triggers = set(workflow.get("on", workflow.get(True)))
            self.assertFalse(triggers & {"pull_request_target", "workflow_run", "issue_comment"}, file)

    def test_every_job_has_permissions_and_a_timeout(self) -> None:
        for file, workflow in WORKFLOWS.items():
            self.assertEqual(workflow["permissions"], {}, file)
        for where, job in jobs():
            with self.subTest(where):
                self.assertIn("permissions", job)
                self.assertTrue("uses" in job or job["timeout-minutes"] <= 90)

    def test_only_jobs_that_write_may_write(self) -> None:
        writers = {where for where, job in jobs() if "write" in job["permissions"].values()}
        self.assertEqual(writers, {"image.yml image", "image.yml staging", "promote.yml promote", "release.yml release"})

    def test_staging_follows_main_by_itself_and_production_by_pull_request(self) -> None:
        calls = {where: job for where, job in jobs() if job.get("uses", "").endswith("promote.yml")}
        self.assertEqual(set(calls), {"image.yml staging"}, "production is promoted by hand")
        self.assertEqual(calls["image.yml staging"]["with"]["overlay"], "staging")
        image, promote = (WORKFLOWS[name].get("on", WORKFLOWS[name].get(True)) for name in ("image.yml", "promote.yml"))
        self.assertEqual((set(image), image["push"]["branches"]), ({"push"}, ["main"]))
        self.assertEqual(set(promote), {"workflow_call", "workflow_dispatch"})
        how = WORKFLOWS["promote.yml"]["jobs"]["promote"]["steps"][-1]["env"]["HOW"]
        self.assertEqual(how, "${{ github.event_name == 'push' && '--commit' || '' }}", "by hand it is a pull request")

    def test_the_cluster_of_an_overlay_is_known_to_its_environment_alone(self) -> None:
        self.assertEqual(WORKFLOWS["promote.yml"]["jobs"]["promote"]["environment"], "${{ inputs.overlay }}")
        self.assertEqual(WORKFLOWS["loadtest.yml"]["jobs"]["staging"]["environment"], "staging")
        users = {where for where, step in steps() if "secrets.KUBECONFIG" in str(step)}
        self.assertEqual(users, {"loadtest.yml staging", "promote.yml promote"})

    def test_actions_are_pinned_by_commit_with_their_version_in_a_comment(self) -> None:
        for path in FILES:
            for line in path.read_text().splitlines():
                if "uses:" in line and "./" not in line:
                    self.assertRegex(line, r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")

    def test_a_checkout_leaves_no_token_behind(self) -> None:
        for where, step in steps():
            if step.get("uses", "").startswith("actions/checkout@"):
                self.assertIs(step["with"]["persist-credentials"], False, where)

    def test_scripts_are_short_and_get_values_from_the_environment(self) -> None:
        for where, step in steps():
            script = step.get("run", "")
            with self.subTest(where=where, script=script):
                self.assertNotIn("${{", script)
                self.assertLessEqual(len(script.splitlines()), LONGEST_SCRIPT, "it belongs in .github/scripts/")

    def test_a_script_with_a_pipe_uses_pipefail(self) -> None:
        for where, step in steps():
            if re.search(r"[^|]\|[^|]", step.get("run", "")):
                # only when it is named is bash started with pipefail
                self.assertEqual(step.get("shell"), "bash", where)

    def test_the_load_test_workflow_offers_the_variants_of_the_script(self) -> None:
        triggers = WORKFLOWS["loadtest.yml"].get("on", WORKFLOWS["loadtest.yml"].get(True))
        self.assertEqual(set(triggers), {"workflow_dispatch"}, "somebody presses a button; nothing else starts it")
        offered = triggers["workflow_dispatch"]["inputs"]["variant"]["options"]
        script = (ROOT / "scripts/cluster_loadtest.sh").read_text()
        self.assertIn(f"cluster_loadtest.sh [{'|'.join(offered)}]", script)
        tasks = {"loadtest" if name == "evening" else f"loadtest-{name}" for name in offered}
        there = {path.name for path in (ROOT / "manifests/tasks").glob("loadtest*")}
        self.assertEqual(tasks, there)

    def test_scripts_pass_shellcheck(self) -> None:
        shellcheck = ROOT / "target/venv/bin/shellcheck"
        for where, step in steps():
            if "run" in step:
                asked = [shellcheck, "--shell=bash", "-"]
                looked = subprocess.run(asked, input=step["run"], capture_output=True, text=True, check=False)
                self.assertEqual(looked.returncode, 0, f"{where}: {looked.stdout}")

    def test_programs_that_scripts_call_exist(self) -> None:
        targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
        called = []
        for where, step in steps():
            for path in re.findall(r"\.github/scripts/\w+\.sh", step.get("run", "")):
                called.append(path)
                self.assertTrue((ROOT / path).stat().st_mode & 0o100, f"{where}: {path} cannot be run")
            for path in re.findall(r"(?<![\w./])scripts/\w+\.sh", step.get("run", "")):
                self.assertTrue((ROOT / path).stat().st_mode & 0o100, f"{where}: {path} cannot be run")
            for target in re.findall(r"^make (\S+)", step.get("run", "")):
                self.assertIn(target, targets, where)
        there = {str(path.relative_to(ROOT)) for path in (ROOT / ".github/scripts").iterdir()}
        self.assertEqual(set(called), there, "a script that nobody calls, or a call of none")

    def test_an_image_gets_its_tag_only_after_the_scan(self) -> None:
        steps_of = WORKFLOWS["image.yml"]["jobs"]["image"]["steps"]
        build = next(step for step in steps_of if "build-push-action" in step.get("uses", ""))
        self.assertIn("push-by-digest=true", build["with"]["outputs"])
        self.assertNotIn("tags", build["with"])
        named = steps_of[-1]["run"]
        self.assertLess(named.index("scan_image.sh"), named.index("imagetools create --tag"))
