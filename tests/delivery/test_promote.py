"""Promotion with a registry, a forge and an engine that are made up: what is opened, and above all what is not."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from project import ROOT

IMAGE = "ghcr.io/example/tallycast"
OLD = "sha256:" + "0" * 64
NEW = "sha256:" + "abc123" * 10 + "abcd"
FOREIGN = "sha256:" + "f" * 64
OVERLAY = """\
kind: Kustomization
resources: [../../base]
images:
  - name: redis
    newName: redis
    newTag: 7.4-alpine
  - name: tallycast
    newName: {name}
    {pin}
patches: []
"""
# registry/REFERENCE is there if an image can be pulled, labels/REFERENCE holds the revision that it is labelled with
DOCKER = """\
#!/usr/bin/env bash
reference=${!#//\\//_}
case $1 in
  pull) [[ -e $WORLD/registry/$reference ]] || { echo "manifest unknown" >&2; exit 1; } ;;
  image) cat "$WORLD/labels/$reference" ;;
  *) exit 64 ;;
esac
"""
GH = """\
#!/usr/bin/env bash
if [[ $2 == list ]]; then cat "$WORLD/open"; exit; fi
printf '%s\\n' "$@" >"$WORLD/asked"
while (($#)); do [[ $1 == --body-file ]] && cp "$2" "$WORLD/body"; shift; done
"""
# it tries what it is given, if the file `refuses` does not say why not
KUBECTL = """\
#!/usr/bin/env bash
if [[ $1 == apply ]]; then
  printf '%s\\n' "$*" "$(cat "$KUBECONFIG")" >>"$WORLD/tried"
  if [[ -s $WORLD/refuses ]]; then cat "$WORLD/refuses" >&2; exit 1; fi
  printf 'deployment.apps/tallycast-server serverside-applied (server dry run)\\n'
  exit
fi
awk '$1 == "newName:" { name = $2 } $1 == "newTag:" { print "image: " name ":" $2 } $1 == "digest:" { print "image: " name "@" $2 }' \\
  "$2/kustomization.yaml"
"""


class Promotion(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.world = Path(folder.name)
        self.checkout = self.world / "checkout"
        for name in ("bin", "registry", "labels", "checkout/.github/scripts", "checkout/manifests/overlays/staging"):
            (self.world / name).mkdir(parents=True)
        (self.world / "open").write_text("")
        for name, text in {"docker": DOCKER, "gh": GH, "kubectl": KUBECTL}.items():
            (self.world / "bin" / name).write_text(text)
            (self.world / "bin" / name).chmod(0o755)
        script = self.checkout / ".github/scripts/promote.sh"
        script.write_text((ROOT / ".github/scripts/promote.sh").read_text())
        script.chmod(0o755)
        self.overlay = self.checkout / "manifests/overlays/staging/kustomization.yaml"
        self.git("init", "--quiet", "--initial-branch=main")
        self.deploy(f"digest: {OLD}")
        self.revisions = [self.commit(f"change {n}") for n in range(4)]
        subprocess.run(["git", "init", "--quiet", "--bare", self.world / "origin"], check=True)
        self.git("remote", "add", "origin", str(self.world / "origin"))
        self.push_image(OLD, self.revisions[0])
        self.push_image(NEW, self.revisions[2])

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        ran = subprocess.run(["git", *identity, *arguments], cwd=self.checkout, capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    def commit(self, subject: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def deploy(self, pin: str) -> None:
        self.overlay.write_text(OVERLAY.format(name=IMAGE, pin=pin))
        self.commit("deploy")

    def push_image(self, digest: str, revision: str) -> None:
        self.label(digest, revision)
        (self.world / "registry" / f"{IMAGE}@{digest}".replace("/", "_")).touch()

    def label(self, digest: str, revision: str) -> None:
        (self.world / "labels" / f"{IMAGE}@{digest}".replace("/", "_")).write_text(revision + "\n")

    def promote(
        self, overlay: str = "staging", digest: str = NEW, *options: str, cluster: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"PATH": f"{self.world}/bin:{os.environ['PATH']}", "WORLD": str(self.world)}
        environment |= {"CLUSTER": cluster, "KUBECONFIG": "/dev/null"}
        command = [self.checkout / ".github/scripts/promote.sh", *options, overlay, IMAGE, digest]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def assert_refused(self, ran: "subprocess.CompletedProcess[str]", words: str) -> None:
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertIn(words, ran.stderr)
        self.assertFalse((self.world / "asked").exists(), "something was opened")
        self.assertEqual(self.git("ls-remote", "origin"), "", "something was pushed")

    def body(self) -> str:
        return (self.world / "body").read_text()

    def test_an_image_that_cannot_be_pulled_is_not_promoted(self) -> None:
        self.assert_refused(self.promote(digest=FOREIGN), "cannot be pulled; nothing was opened")
        # also if this machine happens to have it
        self.label(FOREIGN, self.revisions[2])
        self.assert_refused(self.promote(digest=FOREIGN), "cannot be pulled; nothing was opened")

    def test_an_image_of_an_unknown_commit_is_not_promoted(self) -> None:
        self.push_image(FOREIGN, "1" * 40)
        self.assert_refused(self.promote(digest=FOREIGN), "not in this repository")

    def test_an_invalid_digest_or_overlay_is_refused(self) -> None:
        for digest in ("latest", "sha256:abc", NEW + "; rm -rf /"):
            self.assert_refused(self.promote(digest=digest), "is no digest")
        self.assert_refused(self.promote(overlay="local"), "no overlay local")

    def test_a_pull_request_lists_its_changes_and_what_would_be_applied(self) -> None:
        ran = self.promote()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        asked = (self.world / "asked").read_text().splitlines()
        self.assertEqual(asked[:6], ["pr", "create", "--base", "main", "--head", "promote/staging-abc123abc123"])
        for words in ("change 1", "change 2", f"-image: {IMAGE}@{OLD}", f"+image: {IMAGE}@{NEW}"):
            self.assertIn(words, self.body())
        for words in ("change 0", "change 3", "deploy\n"):
            self.assertNotIn(words, self.body(), "it carries what the image does not")

    def test_the_branch_changes_this_image_and_nothing_else(self) -> None:
        self.assertEqual(self.promote().returncode, 0)
        changed = self.git("diff", "main", "origin/promote/staging-abc123abc123", "--unified=0")
        lines = [line for line in changed.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        self.assertEqual(lines, [f"-    digest: {OLD}", f"+    digest: {NEW}"])

    def test_a_digest_replaces_a_tag(self) -> None:
        self.deploy("newTag: 0.1.0")
        ran = self.promote()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn(f"+image: {IMAGE}@{NEW}", self.body())
        self.assertIn(f"Unknown: `{IMAGE}:0.1.0`", self.body())
        self.assertIn("redis", self.overlay.read_text())
        self.assertIn("newTag: 7.4-alpine", self.overlay.read_text())

    def test_a_rollback_is_called_one(self) -> None:
        self.push_image(OLD, self.revisions[3])
        self.assertEqual(self.promote().returncode, 0)
        self.assertIn("This goes back", self.body())
        self.assertIn("change 3", self.body())

    def test_an_image_that_is_deployed_already_needs_no_pull_request(self) -> None:
        ran = self.promote(digest=OLD)
        self.assertEqual((ran.returncode, ran.stdout.strip()), (0, f"staging has {OLD} already"))
        self.assertFalse((self.world / "asked").exists())

    def test_an_open_pull_request_is_updated(self) -> None:
        (self.world / "open").write_text("7\n")
        self.assertEqual(self.promote().returncode, 0)
        self.assertEqual((self.world / "asked").read_text().splitlines()[:2], ["pr", "edit"])

    def test_the_shipped_overlays_can_be_promoted_to(self) -> None:
        for overlay in ("staging", "production"):
            with self.subTest(overlay):
                there = self.checkout / "manifests/overlays" / overlay / "kustomization.yaml"
                there.parent.mkdir(exist_ok=True)
                there.write_text((ROOT / "manifests/overlays" / overlay / "kustomization.yaml").read_text())
                self.commit(f"shipped {overlay}")
                ran = self.promote(overlay)
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertIn(f"+image: {IMAGE}@{NEW}", self.body())
                self.git("switch", "--quiet", "main")

    def follow(self, digest: str = NEW) -> "subprocess.CompletedProcess[str]":
        """Staging, as main's images come to it."""
        return self.promote("staging", digest, "--commit")

    def pushed(self) -> str:
        """The overlay as it is on main."""
        self.git("fetch", "--quiet", "origin")
        return self.git("show", "origin/main:manifests/overlays/staging/kustomization.yaml")

    def test_staging_is_updated_by_a_commit_without_a_pull_request(self) -> None:
        self.git("push", "--quiet", "origin", "main")
        ran = self.follow()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.pushed(), OVERLAY.format(name=IMAGE, pin=f"digest: {NEW}").strip())
        self.assertFalse((self.world / "asked").exists(), "a request was opened")
        said = self.git("log", "-1", "--format=%an %B", "origin/main")
        for words in ("promote staging: tallycast ", "change 1", "change 2"):
            self.assertIn(words, said)
        self.assertEqual(self.follow().stdout.strip(), f"staging has {NEW} already")

    def test_staging_is_updated_even_if_main_has_moved_meanwhile(self) -> None:
        self.git("push", "--quiet", "origin", "main")
        before = self.git("rev-parse", "HEAD")
        (self.checkout / "another").write_text("file\n")
        later = self.commit("somebody else's")
        self.git("push", "--quiet", "origin", "main")
        self.git("reset", "--quiet", "--hard", before)
        ran = self.follow()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn(f"digest: {NEW}", self.pushed())
        self.assertEqual(self.git("rev-parse", "origin/main^"), later)

    def test_staging_never_goes_back_by_itself(self) -> None:
        # builds may end in another order than they began
        self.push_image(OLD, self.revisions[3])
        ran = self.follow()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("has a newer image already", ran.stdout)
        self.assertEqual(self.git("ls-remote", "origin"), "", "something was pushed")

    def test_a_main_branch_that_refuses_commits_is_reported(self) -> None:
        self.git("push", "--quiet", "origin", "main")
        hook = self.world / "origin/hooks/pre-receive"
        hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
        hook.chmod(0o755)
        ran = self.follow()
        self.assertEqual(ran.returncode, 1, ran.stdout)
        self.assertIn("main takes no commit of this workflow", ran.stderr)

    def test_production_changes_by_pull_request_alone(self) -> None:
        self.assert_refused(self.promote("production", NEW, "--commit"), "by pull request alone")

    def test_the_cluster_validates_before_a_pull_request_is_opened(self) -> None:
        ran = self.promote(cluster="the way there")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        command, way = (self.world / "tried").read_text().splitlines()
        for words in ("apply -k manifests/overlays/staging ", " --server-side ", " --dry-run=server "):
            self.assertIn(words, command)
        self.assertEqual(way, "the way there")
        self.assertIn("would take all 1 objects", self.body())

    def test_an_image_that_the_cluster_refuses_is_not_promoted(self) -> None:
        (self.world / "refuses").write_text("The StatefulSet is invalid: spec: Forbidden\n")
        for options in ((), ("--commit",)):
            ran = self.promote("staging", NEW, *options, cluster="the way there")
            self.assert_refused(ran, "the cluster of staging refuses it")
            self.assertIn("spec: Forbidden", ran.stderr, "why is not said")
            self.git("checkout", "--quiet", ".")

    def test_without_a_cluster_the_pull_request_says_that_nothing_was_validated(self) -> None:
        self.assertEqual(self.promote().returncode, 0)
        self.assertFalse((self.world / "tried").exists())
        self.assertIn("None: no cluster is known here", self.body())

    def test_an_overlay_without_the_image_is_reported(self) -> None:
        self.overlay.write_text(self.overlay.read_text().replace("name: tallycast", "name: another"))
        self.commit("no image")
        self.assert_refused(self.promote(), "has no image that could be replaced")
