"""`.ci/run`: a green run means a fresh machine."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from project import ROOT

# registry settings hold addresses and passwords
SECRET = "https://somebody:password@packages.example"
SETTINGS = (".npmrc", ".netrc", ".pip/pip.conf", ".config/pip/pip.conf", ".cargo/config.toml", ".cargo/credentials.toml")
LEFTOVERS = (".bashrc", ".gitconfig", ".cargo/registry/cache/a.crate", ".cargo/bin/tool", ".npm/_cacache/b", ".cache/pip/c")
SEEN = """\
test:
	@echo tree: $$(git ls-files --cached --others)
	@cd "$$HOME" && for file in $$(find . -type f); do echo "home: $$file"; done
	@for name in HOME CARGO_HOME npm_config_cache PIP_CACHE_DIR; do echo "$$name: $$(printenv $$name)"; done
	@echo "rustup: $$RUSTUP_HOME, target: $$CARGO_TARGET_DIR, registry: $$PIP_INDEX_URL"
	@exit $(CODE)
"""


class Ci(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree, self.home, self.temporary = (Path(folder.name) / name for name in ("tree", "home", "temporary"))
        self.temporary.mkdir()
        for name in SETTINGS + LEFTOVERS:
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(SECRET)
        (self.home / ".gitconfig").write_text("[user]\nname = Test\nemail = test@example.org\n")
        (self.tree / ".ci").mkdir(parents=True)
        (self.tree / ".ci/run").write_bytes((ROOT / ".ci/run").read_bytes())
        (self.tree / ".ci/run").chmod(0o755)
        (self.tree / "Makefile").write_text(SEEN)
        (self.tree / ".gitignore").write_text("/target/\nnode_modules/\n")
        for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "all"]):
            subprocess.run(["git", *command], cwd=self.tree, env=self.environment(), check=True)
        for leftover in ("target/venv/old", "tests/node_modules/old"):
            (self.tree / leftover).parent.mkdir(parents=True)
            (self.tree / leftover).touch()

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "CARGO_TARGET_DIR": "/somewhere/with/builds",
            "NPM_CONFIG_CACHE": str(self.home / ".npm"),
            "PIP_CACHE_DIR": str(self.home / ".cache/pip"),
            "PIP_INDEX_URL": "https://packages.example",
        }

    def run_ci(self, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = self.environment() | {"CODE": str(code)}
        return subprocess.run([self.tree / ".ci/run"], env=environment, capture_output=True, text=True, check=False)

    def test_the_tests_run_without_leftovers_and_with_the_machines_settings(self) -> None:
        ran = self.run_ci()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        lines = [line.partition(": ")[::2] for line in ran.stdout.splitlines()]
        self.assertEqual({value for name, value in lines if name == "home"}, {f"./{name}" for name in SETTINGS})
        told = dict(lines)
        self.assertEqual(set(told["tree"].split()), {".ci/run", ".gitignore", "Makefile"})
        for name in ("HOME", "CARGO_HOME", "npm_config_cache", "PIP_CACHE_DIR"):
            self.assertTrue(told[name].startswith(f"{self.temporary}/"), f"{name} is {told[name]}")
        self.assertEqual(told["rustup"], f"{self.home}/.rustup, target: , registry: https://packages.example")

    def test_it_prints_no_setting_and_leaves_nothing_behind(self) -> None:
        for code in (0, 1):
            with self.subTest(code):
                ran = self.run_ci(code)
                self.assertEqual(ran.returncode != 0, code != 0, "the tests' verdict is that of the run")
                self.assertNotIn("password", ran.stdout + ran.stderr)
                self.assertEqual(list(self.temporary.iterdir()), [])
