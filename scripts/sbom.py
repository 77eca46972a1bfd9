#!/usr/bin/env python3
"""Prints what the programs of a release are built from, as a CycloneDX 1.5 list in JSON: `sbom.py > tallycast.cdx.json`.

Every crate that is linked on any system, and the macros that write parts of the code, with version, licence, the checksum of
the lock file, and what needs it. What only tests and build scripts need is left out. Pages and their libraries are part of the crate tallycast itself. The same commit gives the
same list.
"""

import json
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("tallycast", "loadtest")


def metadata() -> dict[str, Any]:
    """What Cargo resolves, by the lock file."""
    asked = ["cargo", "metadata", "--locked", "--format-version=1"]
    return json.loads(subprocess.run(asked, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def linked(resolved: dict[str, Any], roots: list[str]) -> dict[str, list[str]]:
    """Each package that is linked into one of the roots, and which packages it needs itself."""
    nodes = {node["id"]: node for node in resolved["resolve"]["nodes"]}
    found: dict[str, list[str]] = {}
    waiting = list(roots)
    while waiting:
        package = waiting.pop()
        if package not in found:
            needs = nodes[package]["deps"]
            found[package] = sorted(need["pkg"] for need in needs if any(kind["kind"] is None for kind in need["dep_kinds"]))
            waiting += found[package]
    return found


def component(package: dict[str, Any], checksums: dict[tuple[str, str], str]) -> dict[str, Any]:
    """A package as CycloneDX has it."""
    name, version = package["name"], package["version"]
    about: dict[str, Any] = {
        "type": "application" if name in PROGRAMS else "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:cargo/{name}@{version}",
    }
    if package["license"]:
        # `/` is the old way of writing OR
        about["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((name, version)):
        about["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return about


def bill() -> dict[str, Any]:
    """The list."""
    resolved = metadata()
    packages = {package["id"]: package for package in resolved["packages"]}
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    locked = tomllib.loads(lock)["package"]
    checksums = {(package["name"], package["version"]): package["checksum"] for package in locked if "checksum" in package}
    roots = [package["id"] for package in packages.values() if package["name"] in PROGRAMS and not package["source"]]
    needed = linked(resolved, roots)
    described = {id: component(packages[id], checksums) for id in needed}
    main = next(about for about in described.values() if about["name"] == PROGRAMS[0])
    by_name = sorted(described.items(), key=lambda entry: (entry[1]["name"], entry[1]["version"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock + main['purl'])}",
        "version": 1,
        "metadata": {"component": main},
        "components": [about for _, about in by_name if about is not main],
        "dependencies": [
            {"ref": about["bom-ref"], "dependsOn": [described[need]["bom-ref"] for need in needed[id]]}
            for id, about in by_name
        ],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
    print()
