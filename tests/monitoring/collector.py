"""What the shipped Fluent Bit configuration does with a line of a log. Fluent Bit itself is not to be had by the tests'
means, so its file is read strictly here: a plugin, a key or a rule that this does not know is an error, and what it knows is
what the manual of Fluent Bit says of it.
"""

import datetime
import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import texts
from texts import ROOT, Object

FOLDER = ROOT / "manifests" / "logging"
FILE = FOLDER / "fluent-bit.yaml"

# Every section and plugin that may be used, with its keys.
SERVICE = {"flush", "log_level", "storage.path"}
PARSERS = {"json": {"name", "format", "time_key", "time_format", "time_keep"}}
PLUGINS = {
    "inputs": {"tail": {"path", "multiline.parser", "tag", "db", "storage.type", "read_from_head"}},
    "filters": {
        "parser": {"match", "key_name", "parser", "reserve_data"},
        "rewrite_tag": {"match", "rule", "emitter_storage.type"},
        "record_modifier": {"match_regex", "record"},
    },
    "outputs": {"http": {"match", "host", "port", "tls", "uri", "format", "header", "header_tag", "retry_limit"}},
}


class Wrong(Exception):
    """What Fluent Bit would not take, or take otherwise than it is meant."""


def only(what: str, given: Object, known: set[str]) -> None:
    if unknown := given.keys() - known:
        raise Wrong(f"{what}: unknown {sorted(unknown)}")


def matches(plugin: Object, tag: str) -> bool:
    if "match_regex" in plugin:
        return re.search(plugin["match_regex"], tag) is not None
    # `*` also stands for dots
    return fnmatch.fnmatchcase(tag, plugin["match"])


class Collector:
    """The pipeline of a file."""

    def __init__(self, path: Path = FILE) -> None:
        config = texts.read_yaml(path)
        only("file", config, {"includes", "service", "parsers", "pipeline"})
        token = texts.read_yaml(FOLDER / "collector.yaml")["spec"]["template"]["spec"]
        folders = [mount["mountPath"] for mount in token["containers"][0]["volumeMounts"]]
        for included in config["includes"]:
            if not any(included.startswith(f"{folder}/") for folder in folders):
                raise Wrong(f"{included} is not mounted")
        only("service", config["service"], SERVICE)
        only("pipeline", config["pipeline"], set(PLUGINS))
        self.parsers = {parser["name"]: parser for parser in config["parsers"]}
        for parser in config["parsers"]:
            only(f"parser {parser['name']}", parser, PARSERS[parser["format"]])
        for section, known in PLUGINS.items():
            for plugin in config["pipeline"][section]:
                if plugin["name"] not in known:
                    raise Wrong(f"{section}: unknown {plugin['name']}")
                only(plugin["name"], plugin, known[plugin["name"]] | {"name"})
        self.inputs = config["pipeline"]["inputs"]
        self.filters = config["pipeline"]["filters"]
        self.outputs = config["pipeline"]["outputs"]

    def take(self, file: str, line: str, stream: str = "stdout") -> list[tuple[str, Object]]:
        """Where a line goes that a container has written: the path at the store, and the record."""
        told = []
        for source in self.inputs:
            if fnmatch.fnmatchcase(file, source["path"]):
                tag = source["tag"].replace("*", file.strip("/").replace("/", "."))
                now = datetime.datetime.now(datetime.timezone.utc).isoformat()
                told += self.emit(tag, {"time": now, "stream": stream, "_p": "F", "log": line})
        return told

    def emit(self, tag: str, record: Object) -> list[tuple[str, Object]]:
        for step in self.filters:
            if not matches(step, tag):
                continue
            if step["name"] == "parser":
                record = self.parsed(step, record)
            elif step["name"] == "record_modifier":
                key, value = step["record"].split(" ", 1)
                record = record | {key: value}
            elif step["name"] == "rewrite_tag":
                key, expression, new, keep = step["rule"].split(" ")
                if not key.startswith("$") or keep not in ("true", "false"):
                    raise Wrong(f"rule {step['rule']}")
                value = record.get(key[1:])
                if isinstance(value, str) and re.search(expression, value):
                    again = self.emit(new.replace("$TAG", tag), record)
                    return again if keep == "false" else again + self.routed(tag, record)
        return self.routed(tag, record)

    def parsed(self, step: Object, record: Object) -> Object:
        parser = self.parsers[step["parser"]]
        try:
            found: Any = json.loads(record[step["key_name"]])
        except ValueError:
            return record
        if not isinstance(found, dict):
            return record
        # strptime of Fluent Bit knows %L, that of Python calls it %f
        datetime.datetime.strptime(found[parser["time_key"]], parser["time_format"].replace("%S.%L", "%S.%f"))
        if not parser["time_keep"]:
            del found[parser["time_key"]]
        return record | found if step["reserve_data"] else found

    def routed(self, tag: str, record: Object) -> list[tuple[str, Object]]:
        return [(output["uri"], record) for output in self.outputs if matches(output, tag)]
