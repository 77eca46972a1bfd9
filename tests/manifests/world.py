"""What the checks look at: the tree of files, and every object that kustomize makes of it.

A rendering is named after what was rendered: `overlay staging`, `component gateway` (over the base), `task loadtest`,
`staging without dns`, `production with gateway for load-balancer`.
"""

import copy
import functools
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]

# What a component builds upon besides the base. (Components that replace the same thing never meet.)
PREREQUISITES = {
    "autoscaling-hpa": ["monitoring"],
    "autoscaling-keda": ["monitoring"],
    "dns": ["gateway", "load-balancer", "admin-load-balancer"],
}

# Components that the docs name as another way of doing the same, and in which overlays each is tried. One without a
# partner takes the place of something in the base.
ALTERNATIVES = [
    ("gateway", "load-balancer", ("production",)),
    ("load-balancer", "gateway", ("staging",)),
    ("load-balancer", "node-port", ("local",)),
    ("autoscaling-hpa", "autoscaling-keda", ("production", "staging")),
    ("secrets-sealed", "secrets-external", ("production", "staging")),
    ("secrets-sops", "secrets-external", ("production", "staging")),
    ("managed-redis", None, ("local", "production", "staging")),
    ("redis-sentinel", None, ("local", "production", "staging")),
]

# What belongs together, and is left out together as the docs say.
TOGETHER = [
    ("gateway", "dns"),
    ("load-balancer", "dns"),
    ("load-balancer", "admin-load-balancer"),
    ("gateway", "admin-load-balancer"),
    ("certificates", "dns"),
    ("monitoring", "autoscaling-keda"),
]


class Unrenderable(Exception):
    """kustomize refuses it; says why."""


@functools.cache
def kubectl() -> str | None:
    """The path of a kubectl, None where there is none to be had."""
    found = subprocess.run([ROOT / "scripts/kubectl.sh"], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def parse(text: str) -> list[Object]:
    """The objects of a YAML stream."""
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def render(folder: Path) -> list[Object]:
    """What `kubectl kustomize` makes of a folder."""
    made = subprocess.run([kubectl() or "kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Unrenderable(f"{folder}: {made.stderr.strip()[:800]}")
    if "deprecated" in made.stderr:
        raise Unrenderable(f"{folder}: {made.stderr.strip()[:800]}")
    return parse(made.stdout)


def render_with(root: Path, below: str, chosen: list[str]) -> list[Object]:
    """The base with some components."""
    with tempfile.TemporaryDirectory() as temporary:
        # kustomize compares real paths
        folder = Path(temporary).resolve()

        def relative(to: str) -> str:
            return os.path.relpath(root.resolve() / "manifests" / to, folder)

        made = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [relative(below)],
            "components": [relative(f"components/{name}") for name in [*chosen, "common"]],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
        return render(folder)


def components(folder: Path) -> list[str]:
    """The components that an overlay chooses, without its own names and what comes last."""
    made = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return [Path(name).name for name in made["components"] if Path(name).name not in ("names", "common")]


@dataclass(frozen=True)
class Variation:
    """An overlay, as somebody who follows the docs would edit its list of components."""

    overlay: str
    without: tuple[str, ...] = ()
    added: str | None = None

    @property
    def name(self) -> str:
        """Of its rendering."""
        if not self.added:
            return f"{self.overlay} without {' and '.join(self.without)}"
        return f"{self.overlay} with {self.added}" + (f" for {self.without[0]}" if self.without else "")

    def render(self, tree: Path) -> list[Object]:
        """Renders a copy of the overlay, beside it in a copy of manifests/."""
        folder = tree / "overlays" / self.name.replace(" ", "-")
        shutil.copytree(tree / "overlays" / self.overlay, folder)
        file = folder / "kustomization.yaml"
        made = yaml.safe_load(file.read_text(encoding="utf-8"))
        there = made["components"]
        leaving = [index for index, name in enumerate(there) if Path(name).name in self.without]
        if self.added:
            # in the place of the other, or else before what comes last
            there.insert(leaving[0] if leaving else len(there) - 1, f"../../components/{self.added}")
        made["components"] = [name for name in there if Path(name).name not in self.without]
        file.write_text(yaml.safe_dump(made), encoding="utf-8")
        return render(folder)


def variations(overlays: list[Path]) -> list[Variation]:
    """Each component of each overlay left out, pairs that belong together, and the other ways that the docs name."""
    found = []
    for folder in overlays:
        chosen = components(folder)
        found += [Variation(folder.name, (name,)) for name in chosen]
        found += [Variation(folder.name, pair) for pair in TOGETHER if set(pair) <= set(chosen)]
        for added, instead, tried in ALTERNATIVES:
            if folder.name in tried:
                found.append(Variation(folder.name, (instead,) if instead else (), added))
    return found


@dataclass
class World:
    """A tree, and what comes of it."""

    root: Path
    renderings: dict[str, list[Object]] = field(default_factory=dict)
    # What could not be rendered, and why.
    broken: dict[str, str] = field(default_factory=dict)

    def file(self, path: str) -> Path:
        """A file of the tree."""
        return self.root / path

    def folders(self, path: str) -> list[Path]:
        """The folders below one of manifests/."""
        return sorted(p for p in (self.root / "manifests" / path).glob("*") if (p / "kustomization.yaml").exists())

    def render_all(self) -> "World":
        """Renders overlays and their variations, components over the base, and tasks."""
        with tempfile.TemporaryDirectory() as temporary:
            # kustomize compares real paths
            tree = Path(temporary).resolve() / "manifests"
            shutil.copytree(self.root / "manifests", tree)
            self._render_into(tree)
        return self

    def _render_into(self, tree: Path) -> None:
        wanted: dict[str, Any] = {}
        for folder in self.folders("overlays"):
            wanted[f"overlay {folder.name}"] = functools.partial(render, folder)
        for folder in self.folders("components"):
            names = PREREQUISITES.get(folder.name, []) + [folder.name] * (folder.name != "common")
            wanted[f"component {folder.name}"] = functools.partial(render_with, self.root, "base", names)
        wanted["autoscaling-hpa without monitoring"] = functools.partial(
            render_with, self.root, "base", ["autoscaling-hpa"]
        )
        for variation in variations(self.folders("overlays")):
            wanted[variation.name] = functools.partial(variation.render, tree)
        for folder in self.folders("tasks"):
            wanted[f"task {folder.name}"] = functools.partial(render, folder)

        def make(name: str) -> None:
            try:
                self.renderings[name] = wanted[name]()
            except Unrenderable as why:
                self.broken[name] = str(why)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(make, wanted))

    def with_changed(self, name: str) -> "World":
        """A copy with one rendering alone, free to be changed."""
        return World(self.root, {name: copy.deepcopy(self.renderings[name])})

    def loose(self) -> list[tuple[Path, Object]]:
        """Objects that are applied without kustomize: the examples for GitOps."""
        files = sorted((self.root / "manifests/gitops").rglob("*.yaml"))
        return [(file, item) for file in files for item in parse(file.read_text(encoding="utf-8"))]


_CURRENT: World | None = None


def current() -> World:
    """The world that is checked: this tree, unless somebody has put another in its place."""
    global _CURRENT
    if _CURRENT is None:
        _CURRENT = World(ROOT)
        if kubectl():
            _CURRENT.render_all()
    return _CURRENT


def replace(world: World) -> World:
    """Puts another world in its place and gives back the one before."""
    global _CURRENT
    before = current()
    _CURRENT = world
    return before
