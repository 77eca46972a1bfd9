"""Tasks that are started by hand start each time, also with a new image: the commands in the files, given to a
kubectl that keeps its objects as the API server does."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import world
from objects import RenderedCheck, find

# What a Job's pod is cannot be changed, names are taken once, and what is applied as it was stays as it is.
KUBECTL = """\
#!/usr/bin/env python3
import json, os, pathlib, sys

state_file = pathlib.Path(os.environ["STATE"])
state = json.loads(state_file.read_text())
words = [word for word in sys.argv[1:] if word not in ("-n", "tallycast")]

def fail(why):
    print(f"error: {why}", file=sys.stderr)
    sys.exit(1)

def end():
    state_file.write_text(json.dumps(state))
    sys.exit(0)

match words:
    case ["apply", "-k", folder, "-l", selector]:
        key, _, value = selector.partition("=")
        for item in json.loads(pathlib.Path(os.environ["RENDERED"]).read_text()):
            if item["metadata"].get("labels", {}).get(key) != value:
                continue
            name = f"{item['kind']}/{item['metadata']['name']}".lower()
            before = state["objects"].get(name)
            if before and item["kind"] == "Job" and before["spec"]["template"] != item["spec"]["template"]:
                fail(f'The Job "{name}" is invalid: spec.template: field is immutable')
            if before != item:
                state["objects"][name] = item
            if not before and item["kind"] == "Job":
                state["started"] += 1
        end()
    case ["delete", "job", name, "--ignore-not-found", "--cascade=foreground"]:
        state["objects"].pop(f"job/{name}", None)
        end()
    case ["create", "job", name, source] if source.startswith("--from=cronjob/"):
        if source.removeprefix("--from=") not in state["objects"]:
            fail(f"there is no {source}")
        if f"job/{name}" in state["objects"]:
            fail(f'jobs.batch "{name}" already exists')
        state["objects"][f"job/{name}"] = {}
        state["started"] += 1
        end()
    case ["logs", "-f", name, *_]:
        if name not in state["objects"]:
            fail(f"there is no {name}")
    case _:
        fail(f"this kubectl does not know: {words}")
"""

# A clock that advances, because a command may put the time into a name.
DATE = """\
#!/bin/sh
echo $(($(cat "$CLOCK" 2>/dev/null || echo 0) + 1)) >"$CLOCK"
cat "$CLOCK"
"""


def commands(file: Path) -> str:
    """The commands for kubectl in the comment of a kustomization."""
    return "\n".join(re.findall(r"^#   ((?:kubectl|\w+=).*)$", file.read_text(encoding="utf-8"), re.MULTILINE))


class Tasks(RenderedCheck):
    """Each task, and what a CronJob does when it is not its time."""

    def start(self, script: str, rendered: list[list[world.Object]], there: list[world.Object]) -> list[int]:
        """How many Jobs there have been after each time that the script was run, with what was rendered for it."""
        counts = []
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name, text in (("kubectl", KUBECTL), ("date", DATE)):
                (folder / name).write_text(text, encoding="utf-8")
                (folder / name).chmod(0o755)
            objects = {f"{item['kind']}/{item['metadata']['name']}".lower(): item for item in there}
            (folder / "state").write_text(json.dumps({"objects": objects, "started": 0}), encoding="utf-8")
            told = {"PATH": f"{folder}:{os.environ['PATH']}"}
            told |= {"STATE": f"{folder}/state", "RENDERED": f"{folder}/rendered", "CLOCK": f"{folder}/clock"}
            for objects_now in rendered:
                (folder / "rendered").write_text(json.dumps(objects_now), encoding="utf-8")
                ran = subprocess.run(["sh", "-euc", script], env=told, capture_output=True, text=True, check=False)
                self.assertEqual(ran.returncode, 0, f"{script}\n{ran.stderr}")
                counts.append(json.loads((folder / "state").read_text(encoding="utf-8"))["started"])
        return counts

    def test_a_task_starts_each_time_and_with_a_new_image(self) -> None:
        tasks = world.current().folders("tasks")
        self.assertTrue(tasks)
        for folder in tasks:
            with self.subTest(task=folder.name):
                objects = world.current().renderings[f"task {folder.name}"]
                server = find(objects, "Deployment", "tallycast-server")["spec"]["template"]["spec"]
                image = server["containers"][0]["image"]
                newer = json.loads(json.dumps(objects).replace(image, f"{image}-newer"))
                self.assertNotEqual(newer, objects)
                file = folder / "kustomization.yaml"
                script = commands(file)
                if not script:
                    self.assertIn("scripts/", file.read_text(encoding="utf-8"), "nothing says how it is started")
                    continue
                self.assertEqual(self.start(script, [objects, objects, newer], []), [1, 2, 3])

    def test_staging_is_refreshed_at_any_time(self) -> None:
        staging = world.current().renderings["overlay staging"]
        script = commands(world.current().file("manifests/components/refresh-staging/kustomization.yaml"))
        self.assertIn("create job", script)
        self.assertEqual(self.start(script, [[], [], []], staging), [1, 2, 3])
