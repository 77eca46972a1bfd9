"""The files that the checks are about, read once."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "manifests" / "monitoring"
COMPONENTS = ROOT / "manifests" / "components"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
RULE_FILES = sorted((MONITORING / "rules").glob("*.yml"))

Object = dict[str, Any]


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules() -> list[Object]:
    return [rule for path in RULE_FILES for group in read_yaml(path)["groups"] for rule in group["rules"]]


def alerts() -> list[Object]:
    return [rule for rule in rules() if "alert" in rule]


def dashboard(path: Path) -> Object:
    board: Object = json.loads(path.read_text())
    return board


def panels(board: Object) -> Iterator[Object]:
    """Those that show something; rows only part them."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def queries(board: Object) -> Iterator[tuple[str, str]]:
    """Title and query of every panel, with the variables as Grafana fills them in when all is chosen."""
    for panel in panels(board):
        for target in panel["targets"]:
            query = target["expr"].replace("$namespace", ".*").replace("$pod", ".*")
            yield f"{board['uid']}: {panel['title']}", query.replace("$__rate_interval", "1m")


def names(query: str) -> set[str]:
    """Series of this service in a query. Those of a histogram have the names that are scraped."""
    return set(re.findall(r"\btallycast[_:][a-z0-9_:]+", query))
