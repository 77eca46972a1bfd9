#!/usr/bin/env python3
"""Checks how Tallycast is built and delivered: image, compose.yaml, workflows, and the promotion of an image."""

import sys
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Exit code 0: nothing is wrong."""
    sys.path.insert(0, str(FOLDER))
    suite = unittest.defaultTestLoader.discover(str(FOLDER), "test_*.py", top_level_dir=str(FOLDER))
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
