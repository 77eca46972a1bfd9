"""Reading Kubernetes objects."""

import functools
import shutil
import tempfile
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import world
from world import Object

WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")


class RenderedCheck(unittest.TestCase):
    """Checks of what is rendered. Left out, aloud, where nothing can be."""

    def setUp(self) -> None:
        if not world.kubectl():
            self.skipTest("there is no kubectl")


class ScriptCheck(RenderedCheck):
    """Checks of scripts, each with a copy of them and of the manifests that it may change."""

    def setUp(self) -> None:
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        # kustomize compares real paths
        self.folder = Path(temporary.name).resolve()
        for part in ("manifests", "scripts"):
            shutil.copytree(world.current().file(part), self.folder / part)


Check = TypeVar("Check", bound=RenderedCheck)


def every_rendering(check: Callable[[Check, list[Object]], None]) -> Callable[[Check], None]:
    """Makes a check of one rendering one of all, each a sub-test of its own."""

    @functools.wraps(check)
    def of_all(self: Check) -> None:
        found = world.current().renderings
        self.assertTrue(found, "nothing was rendered")
        for name, objects in found.items():
            with self.subTest(rendering=name):
                check(self, objects)

    return of_all


@dataclass(frozen=True)
class Pod:
    """A pod as its owner would make it."""

    owner: Object
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers, those for the start among them."""
        return self.spec.get("initContainers", []) + self.spec["containers"]

    @property
    def ports(self) -> dict[str, int]:
        """Ports by name."""
        return {p["name"]: p["containerPort"] for c in self.containers for p in c.get("ports", []) if "name" in p}


def say(item: Object) -> str:
    """An object's name for people."""
    return f"{item['kind']} {item['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of some kinds."""
    return [item for item in objects if item["kind"] in kinds]


def find(objects: list[Object], kind: str, name: str) -> Object:
    """An object that has to be there."""
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def pods(objects: list[Object]) -> list[Pod]:
    """The pods of all workloads."""
    found = []
    for owner in of_kind(objects, *WORKLOADS):
        spec = owner["spec"]
        template = spec["jobTemplate"]["spec"]["template"] if owner["kind"] == "CronJob" else spec["template"]
        found.append(Pod(owner, template.get("metadata", {}).get("labels", {}), template["spec"]))
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """True if a label selector takes these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        value = labels.get(rule["key"])
        match rule["operator"]:
            case "In" if value not in rule["values"]:
                return False
            case "NotIn" if value in rule["values"]:
                return False
            case "Exists" if value is None:
                return False
            case "DoesNotExist" if value is not None:
                return False
    return True


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping within a value."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def cores(quantity: str | int) -> float:
    """CPU in cores."""
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def mebibytes(quantity: str | int) -> float:
    """Memory in MiB."""
    text = str(quantity)
    for suffix, factor in (("Gi", 1024.0), ("Mi", 1.0), ("Ki", 1 / 1024)):
        if text.endswith(suffix):
            return float(text[:-2]) * factor
    return float(text) / 1024 / 1024
