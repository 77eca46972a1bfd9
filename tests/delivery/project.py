"""What the checks read of the project: its files, its settings, and the instructions of the Dockerfile. And free ports."""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/support"))

from ports import free_ports  # noqa: E402

__all__ = ["free_ports"]


def read_yaml(path: str) -> Any:
    """A YAML file of the project, by its path from the root."""
    return yaml.safe_load((ROOT / path).read_text())


def setting_names() -> set[str]:
    """Every setting as the name of an environment variable, and the short forms."""
    settings = tomllib.loads((ROOT / "config/default.toml").read_text())
    names = {f"TALLYCAST__{section}__{key}".upper() for section, keys in settings.items() for key in keys}
    return names | {"TALLYCAST_STAGE", "SERVER_PORT", "ADMIN", "REDIS_HOST", "REDIS_PORT"}


@dataclass
class Instruction:
    """One instruction of the Dockerfile."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Its words, without options such as --from."""
        return [word for word in self.text.split() if not word.startswith("--")]


def dockerfile_stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage, by its name."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    stages: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            current = stages.setdefault(rest.split()[-1], [])
        current.append(Instruction(name, rest.strip()))
    return stages


def copied(instructions: list[Instruction]) -> list[tuple[str, str]]:
    """What is copied out of the project: source and destination."""
    pairs = []
    for instruction in instructions:
        if instruction.name == "COPY" and "--from=" not in instruction.text:
            *sources, destination = instruction.words()
            pairs += [(source, destination) for source in sources]
    return pairs

