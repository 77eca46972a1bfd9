"""The files: what may be in them, and what belongs where."""

import re
import subprocess
import unittest
from pathlib import Path
from typing import Any

import yaml

import world

# What kustomize calls deprecated.
OLD = {"commonLabels", "vars", "bases", "patchesStrategicMerge", "patchesJson6902", "imageTags"}
OVERLAY = {"apiVersion", "kind", "resources", "components", "patches", "images"}
PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE" + " KEY-----")


def tracked() -> list[Path]:
    """Every file that is, or with the next commit would be, in the repository."""
    root = world.current().root
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        files = [root / name for name in listed.stdout.split("\0") if name]
    else:
        left_out = {"target", "node_modules", "__pycache__"}
        files = [path for path in root.rglob("*") if not left_out & set(path.relative_to(root).parts)]
    return [path for path in files if path.is_file() and not path.is_symlink()]


def kustomization(folder: Path) -> dict[str, Any]:
    """A folder's kustomization."""
    return yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))


def named_files(made: dict[str, Any]) -> set[str]:
    """The files and folders that a kustomization names."""
    found = set(made.get("resources") or []) | {p["path"] for p in made.get("patches", []) if "path" in p}
    for generator in made.get("configMapGenerator", []):
        found |= {entry.rpartition("=")[2] for entry in generator.get("files", []) + generator.get("envs", [])}
    return found


def has_label(item: dict[str, Any], selector: str | None) -> bool:
    """True if an object has the one label, or the one key, that a target selects."""
    key, _, value = (selector or "").partition("=")
    labels = item["metadata"].get("labels", {})
    return not key or (key in labels and value in ("", labels[key]))


class Tree(unittest.TestCase):
    """Needs no kubectl."""

    def all_folders(self) -> list[Path]:
        """Every folder with a kustomization."""
        return sorted(path.parent for path in world.current().file("manifests").rglob("kustomization.yaml"))

    def test_no_plain_secret_is_in_the_tree(self) -> None:
        for path in tracked():
            if path.suffix not in (".yaml", ".yml", ".json"):
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if "Secret" not in text and "secretGenerator" not in text:
                continue
            for item in yaml.load_all(text, Loader=yaml.BaseLoader):
                if not isinstance(item, dict):
                    continue
                self.assertNotIn("secretGenerator", item, path)
                if item.get("kind") == "Secret":
                    values = [*(item.get("data") or {}).values(), *(item.get("stringData") or {}).values()]
                    plain = [value for value in values if not str(value).startswith("ENC[")]
                    self.assertEqual(len(plain), 0, f"{path} holds a Secret with plain values")

    def test_no_private_key_is_in_the_tree(self) -> None:
        for path in tracked():
            if path.stat().st_size < 1_000_000:
                self.assertIsNone(
                    PRIVATE.search(path.read_text(encoding="utf-8", errors="replace")), f"{path} holds a private key"
                )

    def test_overlays_differ_only_in_components_patches_and_images(self) -> None:
        folders = world.current().folders("overlays")
        self.assertEqual([folder.name for folder in folders], ["local", "production", "staging"])
        for folder in folders:
            made = kustomization(folder)
            self.assertLessEqual(made.keys(), OVERLAY, folder)
            self.assertEqual(made["resources"], ["../../base"], folder)
            self.assertEqual(made["components"][-1], "../../components/common", f"{folder}: common has to come last")
            self.assertEqual(made["components"][0], "names", f"{folder}: the names have to come first")
            for image in made["images"]:
                self.assertLessEqual(image.keys(), {"name", "newName", "newTag", "digest"}, folder)

    def test_each_host_name_of_an_overlay_is_written_once(self) -> None:
        for folder in world.current().folders("overlays"):
            text = (folder / "names/names.env").read_text(encoding="utf-8")
            for name in re.findall(r"=https://([^/\n]+)", text):
                files = [path for path in folder.rglob("*") if path.is_file()]
                said = [path for path in files if re.search(rf"(?<![\w.]){name}", path.read_text(encoding="utf-8"))]
                self.assertEqual(said, [folder / "names/names.env"], f"{folder.name} says {name} more than once")

    def test_nothing_has_two_scalers(self) -> None:
        for folder in world.current().folders("overlays"):
            scalers = [name for name in kustomization(folder)["components"] if "autoscaling" in name]
            self.assertLessEqual(len(scalers), 1, folder)

    def test_every_patch_has_a_target(self) -> None:
        # kustomize says nothing when a target is met by nothing
        if not world.kubectl():
            self.skipTest("there is no kubectl")
        renderings = world.current().renderings
        for name, objects in renderings.items():
            kind, _, last = name.partition(" ")
            folder = world.current().file(f"manifests/{kind}s/{last}")
            if kind not in ("overlay", "component", "task"):
                continue
            for patch in (
                kustomization(folder).get("patches", []) + kustomization(folder.parents[1] / "base")["patches"]
            ):
                target = patch.get("target")
                if not target or "$patch: delete" in patch.get("patch", ""):
                    continue
                renames = patch.get("options", {}).get("allowNameChange")
                met = [
                    item
                    for item in objects
                    if re.fullmatch(target["kind"], item["kind"])
                    and (renames or re.fullmatch(f"{target.get('name', '.*')}(-[a-z0-9]{{10}})?", item["metadata"]["name"]))
                    and has_label(item, target.get("labelSelector"))
                ]
                self.assertTrue(met, f"{folder}: nothing is {target}")

    def test_nothing_deprecated_is_used(self) -> None:
        for folder in self.all_folders():
            self.assertFalse(OLD & kustomization(folder).keys(), folder)

    def test_every_component_is_valid_and_in_the_table(self) -> None:
        table = world.current().file("manifests/README.md").read_text(encoding="utf-8")
        for folder in world.current().folders("components"):
            self.assertEqual(kustomization(folder)["kind"], "Component", folder)
            self.assertRegex(table, rf"\| `{folder.name}` +\|", "manifests/README.md has no row for it")

    def test_every_file_is_used_by_the_kustomization_above_it(self) -> None:
        for folder in self.all_folders():
            inner = [path.parent for path in folder.rglob("kustomization.yaml") if path.parent != folder]
            used = {(folder / name).resolve() for name in named_files(kustomization(folder))}
            for name in sorted(used):
                self.assertTrue(name.exists(), f"{folder} names {name}")
            for path in folder.rglob("*"):
                is_ours = path.suffix in (".yaml", ".conf", ".env", ".sh") and path.name not in (
                    "kustomization.yaml",
                    ".sops.yaml",
                )
                if is_ours and not any(path.is_relative_to(other) for other in inner) and folder.name != "monitoring":
                    if path.name == "adapter-values.yaml":
                        continue  # for the adapter's own chart
                    self.assertIn(path.resolve(), used, "no kustomization uses it")
