"""The Dockerfile, as far as it can be checked without an engine: its sources, its Cargo commands, its health check."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

from project import ROOT, copied, dockerfile_stages, free_ports

STAGES = dockerfile_stages()
BUILD, RUNTIME = STAGES["build"], STAGES["runtime"]
CARGO_BUILDS = [run for run in BUILD if run.name == "RUN" and "cargo build" in run.text]
PATIENCE_SECONDS = 30


def let_into_context(path: str) -> bool:
    """Whether .dockerignore, which leaves out everything else, lets in this file or something below this folder."""
    lines = (ROOT / ".dockerignore").read_text().split()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    return any(path == one or path.startswith(one + "/") or one.startswith(path + "/") for one in allowed)


class Sources(unittest.TestCase):
    def test_copied_files_exist_and_are_in_the_build_context(self) -> None:
        for source, _ in copied(BUILD) + copied(RUNTIME):
            with self.subTest(source):
                self.assertTrue((ROOT / source).exists())
                self.assertTrue(let_into_context(source), ".dockerignore leaves it out")

    def test_files_that_the_sources_embed_are_copied(self) -> None:
        folders = [source for source, _ in copied(BUILD)]
        included: list[Path] = []
        for path in [*ROOT.glob("src/**/*.rs"), *ROOT.glob("loadtest/src/**/*.rs")]:
            text = path.read_text()
            included += [path.parent / name for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', text)]
            included += [ROOT / name for name in re.findall(r'#\[folder = "([^"]+)"\]', text)]
        self.assertGreater(len(included), 3, "the pattern finds nothing")
        for path in included:
            name = str(path.resolve().relative_to(ROOT))
            with self.subTest(name):
                self.assertTrue(path.exists())
                self.assertTrue(any(name == one or name.startswith(one + "/") for one in folders), "not copied")
                self.assertTrue(let_into_context(name), ".dockerignore leaves it out")

    def test_the_build_downloads_no_toolchain(self) -> None:
        told = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]
        self.assertIn("components", told, "else the file could be copied")
        self.assertNotIn("rust-toolchain.toml", [source for source, _ in copied(BUILD)])
        self.assertFalse(let_into_context("rust-toolchain.toml"))

    def test_no_key_and_no_build_output_can_get_into_the_context(self) -> None:
        self.assertIn("*", (ROOT / ".dockerignore").read_text().split())
        for path in (".env", "certs", "secrets", "target", "data", ".git"):
            self.assertFalse(let_into_context(path), path)


class Cargo(unittest.TestCase):
    def test_manifests_and_stubs_are_a_valid_workspace(self) -> None:
        first = BUILD.index(CARGO_BUILDS[0])
        with tempfile.TemporaryDirectory() as folder:
            layer = Path(folder)
            for source, destination in copied(BUILD[:first]):
                target = layer / destination
                target = target / Path(source).name if destination.endswith(("/", ".")) else target
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target)
            stubs = re.sub(r"cargo build.*", "true", CARGO_BUILDS[0].text)
            subprocess.run(["sh", "-ec", stubs], cwd=layer, check=True)
            # from the root, whose toolchain it is; other systems' packages are not fetched by any build here
            asked = ["cargo", "metadata", "--locked", "--manifest-path", str(layer / "Cargo.toml"), "--format-version", "1"]
            asked += ["--filter-platform", host()]
            answer = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            packages = {package["name"]: package for package in json.loads(answer.stdout)["packages"]}
        members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
        for member in members:
            name = tomllib.loads((ROOT / member / "Cargo.toml").read_text())["package"]["name"]
            self.assertTrue(packages[name]["manifest_path"].startswith(str(layer)), name)

    def test_both_builds_are_the_same_and_name_existing_packages(self) -> None:
        commands = [shlex.split(re.search(r"cargo build.*", run.text).group()) for run in CARGO_BUILDS]  # type: ignore[union-attr]
        self.assertEqual(len(commands), 2)
        self.assertEqual(commands[0], commands[1], "else the layer of dependencies is of no use")
        words = commands[0]
        profiles = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]
        profile = words[words.index("--profile") + 1]
        self.assertIn(profile, profiles)
        asked = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"]
        found = json.loads(subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        packages = {package["name"]: package for package in found["packages"]}
        named = [words[n + 1] for n, word in enumerate(words) if word == "--package"]
        built = {t["name"] for name in named for t in packages[name]["targets"] if "bin" in t["kind"]}
        taken = [word for run in RUNTIME if "--from=build" in run.text for word in run.words()[:-1]]
        self.assertEqual({f"/build/target/{profile}/{name}" for name in built}, set(taken))


class Programs(unittest.TestCase):
    def test_debug_information_is_split_from_each_program_and_can_be_exported(self) -> None:
        taken = [word for run in RUNTIME if "--from=build" in run.text for word in run.words()[:-1]]
        split = next(run for run in BUILD if run.name == "RUN" and "split_debuginfo.sh" in run.text)
        self.assertEqual({f"/build/{word}" for word in split.text.split()[1:]}, set(taken))
        self.assertGreater(BUILD.index(split), BUILD.index(CARGO_BUILDS[-1]))
        kept = [word for run in STAGES["debuginfo"] if run.name == "COPY" for word in run.words()[:-1]]
        self.assertEqual(set(kept), {f"{program}.debug" for program in taken})

    def test_the_example_sets_the_address_that_phones_use(self) -> None:
        example = re.search(r"(?m)^#   docker run (?:.*\\\n#)?.*$", (ROOT / "Dockerfile").read_text())
        assert example
        self.assertIn("-e TALLYCAST__SERVER__PUBLIC_URL=", example[0])
        # the server warns without one, if it knows where it is: tests/api/output.rs
        self.assertIn("container=oci", [run.text for run in RUNTIME if run.name == "ENV"])


class Running(unittest.TestCase):
    def instruction(self, name: str) -> str:
        return next(one.text for one in RUNTIME if one.name == name)

    def test_it_runs_as_an_unprivileged_user_and_stops_by_sigterm(self) -> None:
        self.assertEqual(self.instruction("USER"), "65532:65532")
        self.assertEqual(self.instruction("STOPSIGNAL"), "SIGTERM")
        self.assertEqual(json.loads(self.instruction("ENTRYPOINT")), ["/usr/local/bin/tallycast"])

    def test_base_images_are_pinned(self) -> None:
        bases = {name: stage[0].text.split()[0] for name, stage in STAGES.items()}
        self.assertEqual(bases.pop("debuginfo"), "scratch")
        rust, debian = bases["build"], bases["runtime"]
        toolchain = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        self.assertRegex(rust, rf"^rust:{toolchain}-", "else each build fetches another compiler")
        self.assertRegex(debian, r"^debian:\d+\.\d+-slim(@sha256:[0-9a-f]{64})?$")

    def test_the_label_that_promotion_reads_is_there(self) -> None:
        label = "org.opencontainers.image.revision"
        self.assertIn(f'{label}="${{REVISION}}"', self.instruction("LABEL"))
        self.assertIn(label, (ROOT / ".github/scripts/promote.sh").read_text())

    def test_the_health_check_distinguishes_a_ready_server_from_none(self) -> None:
        check = json.loads(self.instruction("HEALTHCHECK").split("CMD", 1)[1])
        server = ROOT / "target/debug/tallycast"
        self.assertTrue(server.is_file(), "run `cargo build` first")
        for port_key in ("SERVER_PORT", "TALLYCAST__METRICS__PORT"):
            with self.subTest(port_key), tempfile.TemporaryDirectory() as folder:
                ports = free_ports(2)
                environment = {
                    "PATH": os.environ["PATH"],
                    "SERVER_PORT": str(ports[0]),
                    port_key: str(ports[1]),
                    "TALLYCAST__LEDGER__URL": f"embedded:{folder}/votes.redb",
                }
                self.assertNotEqual(ask(check, environment), 0, "nobody is there yet")
                child = subprocess.Popen(
                    [server], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                try:
                    until = time.monotonic() + PATIENCE_SECONDS
                    while ask(check, environment) != 0:
                        self.assertIsNone(child.poll(), "the server ended")
                        self.assertLess(time.monotonic(), until, "it never becomes healthy")
                        time.sleep(0.05)
                finally:
                    child.terminate()
                    child.wait()
                self.assertNotEqual(ask(check, environment), 0, "it is gone")


def host() -> str:
    """The system that this machine builds for, as Rust calls it."""
    asked = ["rustc", "--print", "host-tuple"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def ask(check: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(check, env=environment, stderr=subprocess.DEVNULL, check=False).returncode
