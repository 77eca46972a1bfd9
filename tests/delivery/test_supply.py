"""What is fetched from elsewhere is what was looked at: images by digest, packages by hash, no code at an installation. And the
list of what a release is built from."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from functools import cache
from pathlib import Path
from typing import Any

from project import ROOT, read_yaml

NPM_FOLDERS = sorted(path.parent for path in ROOT.glob("*/*/package.json"))
DIGEST = "sha256:" + 64 * "0"
# Answers with a digest of its own for each tag; a digest that it has not got is refused.
DOCKER = f"""\
#!/usr/bin/env bash
image=${{!#}}
case $image in
  *@{DIGEST}) echo "{DIGEST}" ;;
  *@*) echo "not found: $image" >&2; exit 1 ;;
  *) echo "{DIGEST}" ;;
esac
"""


class Images(unittest.TestCase):
    def test_every_image_of_others_is_named_by_tag_and_digest(self) -> None:
        named = [(path, found) for path in image_files() for found in images(path.read_text())]
        self.assertGreater(len(named), 10, "the pattern finds nothing")
        for path, image in named:
            with self.subTest(file=str(path.relative_to(ROOT)), image=image):
                self.assertRegex(image, r"^[a-z0-9./-]+:v?\d[\w.-]*@sha256:[0-9a-f]{64}$")

    def test_the_same_tag_has_the_same_digest_everywhere(self) -> None:
        by_tag: dict[str, set[str]] = {}
        for path in image_files():
            for image in images(path.read_text()):
                tag, _, digest = image.partition("@")
                by_tag.setdefault(tag, set()).add(digest)
        self.assertEqual({tag: found for tag, found in by_tag.items() if len(found) > 1}, {})


class Pinning(unittest.TestCase):
    """scripts/pin_images.sh with a registry that is made up, in a copy of the files."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.copy = Path(folder.name) / "copy"
        for path in [*image_files(), ROOT / "scripts/pin_images.sh"]:
            there = self.copy / path.relative_to(ROOT)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)
        docker = Path(folder.name) / "bin/docker"
        docker.parent.mkdir()
        docker.write_text(DOCKER)
        docker.chmod(0o755)
        self.told = os.environ | {"PATH": f"{docker.parent}:{os.environ['PATH']}"}

    def run_script(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [self.copy / "scripts/pin_images.sh", *arguments]
        return subprocess.run(command, env=self.told, capture_output=True, text=True, check=False)

    def test_it_writes_the_registries_digests_and_nothing_else(self) -> None:
        before = {path: (self.copy / path.relative_to(ROOT)).read_text() for path in image_files()}
        compose = self.copy / "compose.yaml"
        compose.write_text(re.sub(r"(prom/prometheus:\S+)@sha256:\w+", r"\1", compose.read_text()))
        ran = self.run_script()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        for path, text in before.items():
            after = (self.copy / path.relative_to(ROOT)).read_text()
            self.assertEqual(set(re.findall(r"sha256:[0-9a-f]{64}", after)) or {DIGEST}, {DIGEST}, path)
            self.assertEqual(after, re.sub(r"sha256:[0-9a-f]{64}", DIGEST, text), path)
        self.assertEqual(self.run_script("--check").returncode, 0)

    def test_an_image_without_digest_or_with_one_that_the_registry_lacks_is_reported(self) -> None:
        self.run_script()
        for old, new, says in [
            (f"@{DIGEST} AS runtime", " AS runtime", "debian:12.12-slim has no digest"),
            (f"@{DIGEST} AS runtime", "@sha256:" + 64 * "1" + " AS runtime", "the registry does not have debian:12.12-slim@"),
        ]:
            dockerfile = self.copy / "Dockerfile"
            text = dockerfile.read_text()
            dockerfile.write_text(text.replace(old, new))
            self.assertNotEqual(dockerfile.read_text(), text)
            ran = self.run_script("--check")
            dockerfile.write_text(text)
            self.assertEqual(ran.returncode, 1)
            self.assertIn(says, ran.stderr)


class Packages(unittest.TestCase):
    def test_npm_runs_no_code_of_packages_when_it_installs_them(self) -> None:
        self.assertEqual(len(NPM_FOLDERS), 4)
        for folder in NPM_FOLDERS:
            settings = (folder / ".npmrc").read_text().splitlines()
            self.assertIn("ignore-scripts=true", settings, folder)
        for path in [*ROOT.glob("scripts/*"), *ROOT.glob("bench/src/*.rs"), *ROOT.glob(".github/**/*.*"), ROOT / ".ci/run"]:
            for line in path.read_text().splitlines():
                if re.search(r'npm .*\b(ci|install)\b|"ci",', line) and "failed" not in line:
                    self.assertIn("--ignore-scripts", line, path)

    def test_an_install_script_is_not_run(self) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "evil").mkdir()
            script = {"name": "evil", "version": "1.0.0", "scripts": {"install": "touch ../ran"}}
            (folder / "evil/package.json").write_text(json.dumps(script))
            (folder / "package.json").write_text(json.dumps({"dependencies": {"evil": "file:evil"}}))
            shutil.copy(ROOT / "tests/browser/.npmrc", folder)
            install = ["npm", "install", "--no-audit", "--no-fund", "--offline", "--loglevel=error"]
            subprocess.run(install, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            self.assertTrue((folder / "node_modules/evil").exists())
            self.assertFalse((folder / "ran").exists() or (folder / "node_modules/ran").exists(), "the package ran code")

    def test_every_python_package_has_hashes_and_pip_is_told_to_check_them(self) -> None:
        text = (ROOT / "tests/requirements.txt").read_text()
        entries = re.split(r"\n(?=\S)", text.strip())
        listed = {}
        for entry in entries:
            found = re.match(r"([\w.-]+)==(\S+)( ;[^\\]*)? \\\n", entry)
            self.assertTrue(found and entry.count("--hash=sha256:") >= 1, entry[:80])
            assert found
            listed[normal(found[1])] = found[2]
        self.assertGreater(len(listed), 15)
        for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / "tests/requirements.in").read_text()):
            self.assertEqual(listed.get(normal(name)), version, f"{name}: make requirements.txt anew, as requirements.in says")
        callers = [path for path in [*ROOT.glob("scripts/*.sh"), *ROOT.glob(".github/**/*.yml")] if "requirements" in path.read_text()]
        self.assertEqual(len([path for path in callers if path.name in ("deps.sh", "scan.yml")]), 2)
        for path in callers:
            for line in path.read_text().splitlines():
                if re.search(r"pip\S* install", line):
                    self.assertIn("--require-hashes", line, path)


class Bill(unittest.TestCase):
    """scripts/sbom.py."""

    @cache
    def bill(self) -> dict[str, Any]:
        ran = subprocess.run([ROOT / "scripts/sbom.py"], capture_output=True, text=True, check=True)
        made: dict[str, Any] = json.loads(ran.stdout)
        return made

    def test_it_lists_what_is_linked_with_the_versions_and_checksums_of_the_lock_file(self) -> None:
        locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        known = {(package["name"], package["version"]): package.get("checksum") for package in locked}
        components = self.bill()["components"]
        self.assertGreater(len(components), 200)
        for about in components:
            key = (about["name"], about["version"])
            self.assertIn(key, known)
            self.assertEqual(about.get("hashes", [{}])[0].get("content"), known[key], key)
            self.assertEqual(about["purl"], f"pkg:cargo/{key[0]}@{key[1]}")
            self.assertTrue(about.get("licenses"), f"{key}: whose licence?")
        names = {about["name"] for about in components}
        self.assertLessEqual({"actix-web", "redis", "redb", "loadtest", "client"}, names)
        self.assertFalse({"proptest", "criterion", "cc"} & names, "what only tests and builds need")

    def test_everything_that_something_depends_on_is_listed(self) -> None:
        bill = self.bill()
        listed = {about["bom-ref"] for about in [*bill["components"], bill["metadata"]["component"]]}
        self.assertEqual({entry["ref"] for entry in bill["dependencies"]}, listed)
        self.assertLessEqual({need for entry in bill["dependencies"] for need in entry["dependsOn"]}, listed)

    def test_it_is_part_of_a_release_and_of_its_checksums(self) -> None:
        steps = read_yaml(".github/workflows/release.yml")["jobs"]["release"]["steps"]
        made = [number for number, step in enumerate(steps) if "sbom.py > packages/" in step.get("run", "")]
        summed = [number for number, step in enumerate(steps) if "sha256sum" in step.get("run", "")]
        self.assertEqual((len(made), len(summed)), (1, 1))
        self.assertLess(made[0], summed[0])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def image_files() -> list[Path]:
    """Every file that may name an image."""
    fixed = [ROOT / name for name in ("Dockerfile", "compose.yaml", ".github/scripts/scan_image.sh")]
    return fixed + sorted((ROOT / "manifests").rglob("*.yaml"))


def images(text: str) -> list[str]:
    """The images of others that it names."""
    found = re.findall(r"(?m)^(?:FROM |# syntax=|\s*(?:- )?image: )(\S+)", text)
    found += re.findall(r"(?m)^  (ghcr\.io/\S+)", text)
    ours = re.compile(r"^(\$\{TALLYCAST_IMAGE|tallycast$|scratch$)")
    return [image for image in found if not ours.match(image)]
