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
        for name in ("config", "manifests/base/nginx"):
            shutil.copytree(ROOT / name, self.checkout / name)
        (self.checkout / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/split_debuginfo.sh", self.checkout / "scripts")
        for name in ("Cargo.toml", "README.md", "LICENSE", "CHANGELOG.md"):
            shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "target/dist").mkdir(parents=True)
        for name in ("tallycast", "loadtest"):
            build_program(self.checkout / "target/dist" / name, f"{name} 1.2.3")

    def run_script(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [self.checkout / ".github/scripts" / name, *arguments]
        environment = os.environ | {"GITHUB_REPOSITORY": "Example/Tallycast"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def test_an_archive_has_every_file_that_a_start_needs(self) -> None:
        ran = self.run_script("package.sh", "v1.2.3", "x86_64-linux")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        packages = self.checkout / "packages"
        name = "tallycast-1.2.3-x86_64-linux"
        self.assertEqual({path.name for path in packages.iterdir()}, {f"{name}.tar.gz", f"{name}-debuginfo.tar.gz"})
        needed = {"tallycast", "loadtest", "config/default.toml", "nginx/nginx.conf", "README.md", "LICENSE"}
        self.assertLessEqual(needed, unpack(packages / f"{name}.tar.gz"))
        self.assertLessEqual({"tallycast.debug", "loadtest.debug"}, unpack(packages / f"{name}-debuginfo.tar.gz"))

    def test_a_program_keeps_function_names_and_the_debug_file_has_the_lines(self) -> None:
        self.assertEqual(self.run_script("package.sh", "v1.2.3", "x86_64-linux").returncode, 0)
        for package in (self.checkout / "packages").iterdir():
            unpack(package)
        here = self.checkout / "packages/tallycast-1.2.3-x86_64-linux"
        whole, alone = panic(self.checkout / "target/dist/tallycast"), panic(here / "tallycast")
        self.assertEqual(len(frames(whole)), 3, f"a function, its line and its caller's: {whole}")
        self.assertEqual(frames(alone), frames(whole)[:1])
        shutil.copy(here.with_name(f"{here.name}-debuginfo") / "tallycast.debug", here)
        self.assertEqual(frames(panic(here / "tallycast")), frames(whole))

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


PROGRAM = """
#[inline(never)] fn where_it_happens() {
  panic!("as asked")
}
fn main() {
  if std::env::args().nth(1).is_some() { println!("VERSION") } else { where_it_happens() }
}
"""


def build_program(path: Path, version: str) -> None:
    """A program with lines of debug information, as the profile has them, that says this and panics without arguments."""
    source = path.with_name("program.rs")
    source.write_text(PROGRAM.replace("VERSION", version))
    options = ["--edition=2024", "-Cdebuginfo=line-tables-only", "-Copt-level=1"]
    subprocess.run(["rustc", *options, "-o", path, source], cwd=ROOT, check=True)
    source.unlink()


def panic(program: Path) -> str:
    """What it says when it panics."""
    told = {"RUST_BACKTRACE": "1"}
    return subprocess.run([program], env=told, capture_output=True, text=True, check=False).stderr


def frames(backtrace: str) -> list[str]:
    """Functions and lines of our own."""
    lines = [line.strip() for line in backtrace.splitlines()]
    return [line for line in lines if "where_it_happens" in line or line.startswith("at ") and "program.rs:" in line]


def unpack(package: Path) -> set[str]:
    """Unpacks it where it is, and gives the names in it, without its folder's."""
    with tarfile.open(package) as archive:
        archive.extractall(package.parent, filter="data")
        return {name.partition("/")[2] for name in archive.getnames()}
