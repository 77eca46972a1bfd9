"""Checks the checks: plants a fault for each of them and sees it fail. A check without a fault here is a fault, too."""

import shutil
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path

import faults
import world

FOLDER = Path(__file__).resolve().parent
# What a copy of the tree needs to be checked.
PARTS = ("manifests", "config", "docs", "scripts", "Cargo.toml")


def all_checks() -> dict[str, unittest.TestCase]:
    """Every check by its name."""
    found: dict[str, unittest.TestCase] = {}

    def gather(suite: unittest.TestSuite | unittest.TestCase) -> None:
        if isinstance(suite, unittest.TestSuite):
            for inner in suite:
                gather(inner)
        else:
            found[suite.id().rpartition(".")[2]] = suite

    gather(unittest.defaultTestLoader.discover(str(FOLDER), "test_*.py", top_level_dir=str(FOLDER)))
    return found


def copy_tree(to: Path) -> Path:
    """A copy of what is checked."""
    for part in PARTS:
        source, target = world.ROOT / part, to / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return to


def verdict(check: unittest.TestCase, faulty: world.World) -> str:
    """What a check says of a world with a fault in it: seen, missed, or why it says nothing."""
    before = world.replace(faulty)
    try:
        result = unittest.TestResult()
        check.run(result)
    finally:
        world.replace(before)
    if result.skipped:
        return f"left out: {result.skipped[0][1]}"
    if result.errors:
        return f"broke: {result.errors[0][1].strip().splitlines()[-1]}"
    return "seen" if result.failures else "MISSED"


def plant_in_objects(check: unittest.TestCase, rendering: str, fault: Callable[[list[world.Object]], object]) -> str:
    """A fault in one rendering."""
    faulty = world.current().with_changed(rendering)
    fault(faulty.renderings[rendering])
    return verdict(check, faulty)


def plant_among_others(check: unittest.TestCase, rendering: str, fault: Callable[[list[world.Object]], object]) -> str:
    """A fault in one rendering, for a check that compares it with others."""
    faulty = world.World(world.ROOT, world.current().renderings | world.current().with_changed(rendering).renderings)
    fault(faulty.renderings[rendering])
    return verdict(check, faulty)


def plant_in_files(check: unittest.TestCase, fault: Callable[[Path], object]) -> str:
    """A fault in a copy of the tree."""
    with tempfile.TemporaryDirectory() as temporary:
        root = copy_tree(Path(temporary))
        fault(root)
        return verdict(check, world.World(root, world.current().renderings))


def plant_before_rendering(check: unittest.TestCase, fault: Callable[[Path], object]) -> str:
    """A fault in a copy of the tree, which is then rendered."""
    with tempfile.TemporaryDirectory() as temporary:
        root = copy_tree(Path(temporary))
        fault(root)
        return verdict(check, world.World(root).render_all())


def main() -> int:
    """Exit code 0: each check sees its faults."""
    checks = all_checks()
    told: list[tuple[str, str]] = []
    for name, rendering, in_objects in faults.IN_OBJECTS:
        told.append((name, plant_in_objects(checks[name], rendering, in_objects)))
    for name, rendering, in_objects in faults.IN_ALL:
        told.append((name, plant_among_others(checks[name], rendering, in_objects)))
    for name, in_files in faults.IN_FILES:
        told.append((name, plant_in_files(checks[name], in_files)))
    for name, before_rendering in faults.IN_RENDERING:
        told.append((name, plant_before_rendering(checks[name], before_rendering)))
    for name in sorted(checks.keys() - {name for name, _ in told}):
        told.append((name, "HAS NO FAULT"))
    wrong = [(name, said) for name, said in told if said != "seen"]
    for name, said in wrong:
        print(f"{said:14} {name}")
    print(f"{len(told) - len(wrong)} of {len(told)} faults were seen, by {len(checks)} checks")
    return 1 if wrong else 0
