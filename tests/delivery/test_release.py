"""The scripts of the image and release workflows, run in a checkout that is made up."""

import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from project import ROOT


class Scripts(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.checkout = Path(folder.name)
        shutil.copytree(ROOT / ".github/scripts", self.checkout / ".github/scripts")
        shutil.copytree(ROOT / "config", self.checkout / "config")
        for name in ("Cargo.toml", "README.md", "LICENSE", "CHANGELOG.md"):
            shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "target/dist").mkdir(parents=True)
        for name in ("tallycast", "loadtest"):
            (self.checkout / "target/dist" / name).write_text(f"#!/bin/sh\necho {name} 1.2.3\n")
            (self.checkout / "target/dist" / name).chmod(0o755)

    def run_script(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [self.checkout / ".github/scripts" / name, *arguments]
        environment = os.environ | {"GITHUB_REPOSITORY": "Example/Tallycast"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def test_an_archive_holds_what_somebody_needs_to_start(self) -> None:
        ran = self.run_script("package.sh", "v1.2.3", "x86_64-linux")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        packages = list((self.checkout / "packages").iterdir())
        self.assertEqual([path.name for path in packages], ["tallycast-1.2.3-x86_64-linux.tar.gz"])
        with tarfile.open(packages[0]) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        self.assertLessEqual({"tallycast", "loadtest", "config/default.toml", "README.md", "LICENSE"}, names)

    def test_a_tag_that_is_not_the_binarys_version_is_refused(self) -> None:
        ran = self.run_script("package.sh", "v1.2.4", "x86_64-linux")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("the binary says tallycast 1.2.3", ran.stderr)
        self.assertFalse((self.checkout / "packages").exists())

    def test_facts_are_those_of_the_commit(self) -> None:
        moment = "2026-11-20T18:00:00Z"
        dated = os.environ | {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        subprocess.run(["git", "init", "--quiet"], cwd=self.checkout, check=True)
        commit = ["git", *identity, "commit", "--quiet", "--allow-empty", "--message", "one"]
        subprocess.run(commit, cwd=self.checkout, env=dated, check=True)
        facts = dict(line.split("=", 1) for line in self.run_script("image_facts.sh").stdout.splitlines())
        self.assertEqual(facts["image"], "ghcr.io/example/tallycast")
        self.assertEqual((facts["created"], facts["epoch"]), (moment, "1795197600"))
        self.assertIn(f'version = "{facts["version"]}"', (ROOT / "Cargo.toml").read_text())
