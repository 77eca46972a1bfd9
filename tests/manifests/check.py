#!/usr/bin/env python3
"""Checks manifests/: `check.py`. Checks the checks, by planting a fault for each: `check.py selftest`.

Needs the packages of tests/requirements.txt, and those of package.json for custom resources. If kubectl or another tool is
missing, the checks that need it are skipped, and the last line says SKIPPED.
"""

import sys
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import selftest  # noqa: E402
import world  # noqa: E402


def run_checks() -> unittest.TestResult:
    """Runs every check."""
    suite = unittest.defaultTestLoader.discover(str(FOLDER), "test_*.py", top_level_dir=str(FOLDER))
    return unittest.TextTestRunner(verbosity=1).run(suite)


def tell_skipped(skipped: list[tuple[unittest.TestCase, str]]) -> None:
    """Lists the checks that were skipped."""
    print("\n" + "!" * 80)
    print(f"!! {len(skipped)} checks of manifests/ were LEFT OUT here:")
    for test, why in skipped:
        print(f"!!   {test.id()}: {why}")
    print("!! Nothing is known about what they check. Install what is missing and run this again.")
    print("!" * 80)
    print("SKIPPED")


def main() -> int:
    """Exit code 0: nothing is wrong, as far as could be seen."""
    if sys.argv[1:] == ["selftest"]:
        if not world.kubectl():
            print("nothing can be rendered without kubectl, so no fault can be planted: SKIPPED")
            return 0
        return selftest.main()
    result = run_checks()
    if not result.wasSuccessful():
        return 1
    if result.skipped:
        tell_skipped(result.skipped)
    else:
        print(f"manifests: {len(world.current().renderings)} renderings hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
