"""The scripts beside the manifests: certificates to try things with, and what a deployment would change."""

import os
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

import world
from objects import ScriptCheck


def run(command: list[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs something there, with these variables besides."""
    # kubectl asks localhost:8080 unless it is told otherwise, and something else may listen there
    cluster = {"KUBECONFIG": "/dev/null", "KUBERNETES_MASTER": "http://127.0.0.1:1"}
    told = {"PATH": os.environ["PATH"], "HOME": str(folder)} | cluster | environment
    return subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, check=False)


class Certificates(unittest.TestCase):
    """scripts/certs.sh."""

    def setUp(self) -> None:
        if not shutil.which("openssl"):
            self.skipTest("there is no openssl")
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.certs = Path(temporary.name) / "certs"

    def make(self, *names: str) -> None:
        """Makes certificates for further names."""
        made = run([world.current().file("scripts/certs.sh"), *names], world.ROOT, CERTS=str(self.certs))
        self.assertEqual(made.returncode, 0, made.stderr)

    def texts(self) -> dict[str, str]:
        """What is there."""
        return {path.name: path.read_text(encoding="utf-8") for path in self.certs.glob("*.*") if path.suffix != ".srl"}

    def test_a_second_time_changes_nothing(self) -> None:
        self.make()
        before = self.texts()
        self.make()
        self.assertEqual(self.texts(), before)

    def test_a_further_name_makes_a_new_certificate_by_the_same_authority(self) -> None:
        self.make()
        before = self.texts()
        self.make("hall.example", "192.0.2.7")
        after = self.texts()
        self.assertEqual(after["ca.crt"], before["ca.crt"])
        self.assertNotEqual(after["tls.crt"], before["tls.crt"])
        for name in (
            ("-verify_hostname", "hall.example"),
            ("-verify_ip", "192.0.2.7"),
            ("-verify_hostname", "localhost"),
        ):
            checked = run(
                ["openssl", "verify", "-CAfile", "ca.crt", "-purpose", "sslserver", *name, "tls.crt"], self.certs
            )
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_nobody_else_can_read_the_keys(self) -> None:
        self.make()
        for name in ("ca.key", "tls.key"):
            self.assertEqual(stat.S_IMODE((self.certs / name).stat().st_mode), 0o600, name)


class Preview(ScriptCheck):
    """scripts/deploy_preview.sh where no cluster answers."""

    def setUp(self) -> None:
        super().setUp()
        for command in (
            ["init", "--quiet"],
            ["add", "--all"],
            ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--message", "a release"],
            ["tag", "v1"],
        ):
            self.assertEqual(run(["git", *command], self.folder).returncode, 0)

    def preview(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs it."""
        return run(["scripts/deploy_preview.sh", *arguments], self.folder, **environment)

    def test_it_prints_what_it_compares_and_what_changed_since_the_release(self) -> None:
        same = self.preview("local")
        self.assertEqual(same.returncode, 0, same.stderr)
        self.assertEqual(
            same.stdout, "# no cluster was asked: the manifests of local as rendered at v1 and now\n# nothing changed\n"
        )
        settings = self.folder / "manifests/overlays/local/settings.yaml"
        settings.write_text(settings.read_text(encoding="utf-8").replace('"2000"', '"3000"'), encoding="utf-8")
        changed = self.preview("local")
        self.assertEqual(changed.returncode, 1, changed.stderr)
        self.assertIn('+  TALLYCAST__SERVER__MAX_SOCKETS: "3000"', changed.stdout)

    def test_without_a_release_it_lists_the_objects_and_explains_how_to_compare(self) -> None:
        run(["git", "tag", "--delete", "v1"], self.folder)
        first = self.preview("local")
        self.assertEqual(first.returncode, 1, first.stderr)
        said, *listed, hint = (line for line in first.stdout.splitlines() if not line.startswith("# image "))
        self.assertEqual(said, "# no cluster answers and there is no release yet: all of local would be new")
        objects = world.current().renderings["overlay local"]
        self.assertEqual(sorted(listed), sorted(f"+ {item['kind']} {item['metadata']['name']}" for item in objects))
        self.assertIn("make deploy-preview OVERLAY=local REF=HEAD~1", hint)
        self.assertEqual(self.preview("local", "HEAD").returncode, 0, "what it hints at is taken")

    def test_a_custom_image_is_one_parameter_in_a_fresh_clone(self) -> None:
        run(["git", "tag", "--delete", "v1"], self.folder)
        digest = "sha256:" + "0123456789abcdef" * 4
        for overlay in ("local", "staging"):
            for image in ("registry.example:5000/hall/vote:1.2", f"registry.example/vote@{digest}"):
                with self.subTest(overlay=overlay, image=image):
                    first = self.preview(overlay, IMAGE=image)
                    self.assertEqual(first.returncode, 1, first.stderr)
                    images = {line for line in first.stdout.splitlines() if line.startswith("# image ")}
                    self.assertIn(f"# image {image}", images)
                    self.assertFalse([line for line in images if "tallycast" in line], "the example is still there")
                    changed = self.preview(overlay, "HEAD", IMAGE=image)
                    self.assertIn(f"image: {image}\n", changed.stdout)
        unchanged = run(["git", "status", "--porcelain"], self.folder)
        self.assertEqual(unchanged.stdout, "", "it wrote something down")
        nameless = self.preview("local", IMAGE="registry.example:5000/vote")
        self.assertEqual(nameless.returncode, 2)
        self.assertIn("says no version", nameless.stderr)

    def test_a_failed_comparison_is_reported(self) -> None:
        for arguments, words in ((["nowhere"], "local production staging"), (["local", "v0"], "git knows no v0")):
            refused = self.preview(*arguments)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(words, refused.stderr)
