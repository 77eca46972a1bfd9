"""Every command line in the manifests is one that the binary in the image takes."""

import re
import shlex
import subprocess
import unittest
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import processes
import world
from objects import RenderedCheck, every_rendering, pods, say
from world import Object

# Nothing listens there: a program that accepts its command line reports that.
NOWHERE = {"TALLYCAST_URL": "http://127.0.0.1:1", "TALLYCAST__EMCEE__KEY": "0123456789abcdef"}


def command_lines(objects: list[Object]) -> Iterator[tuple[str, list[str]]]:
    """Owner and command line of every container of the image, but for the server itself."""
    for pod in pods(objects):
        for container in pod.containers:
            if not re.search(r"(^|/)tallycast(:|@|$)", container["image"]):
                continue
            command, arguments = container.get("command", []), container.get("args", [])
            if command[:2] == ["sh", "-euc"]:
                called = re.search(r"exec (tallycast .*)$", command[2], re.MULTILINE)
                yield say(pod.owner), shlex.split(called[1].replace("$@", "room.ndjson")) if called else ["sh"]
            elif arguments != ["serve"]:
                yield say(pod.owner), [command[0].rpartition("/")[2] if command else "tallycast", *arguments]


@cache
def answer(program: Path, arguments: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and complaints: most renderings have the same command lines."""
    tried = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60, env=NOWHERE, cwd=world.ROOT
    )
    return tried.returncode, tried.stderr


class Commands(RenderedCheck):
    """Of the jobs."""

    @every_rendering
    def test_every_command_line_is_valid(self, objects: list[Object]) -> None:
        processes.need()
        binary = processes.tallycast()
        assert binary
        for owner, line in command_lines(objects):
            program = binary.parent / line[0]
            if not program.exists():
                raise unittest.SkipTest(f"there is no {program.name}: cargo build --workspace")
            status, said = answer(program, tuple(line[1:]))
            self.assertNotEqual(status, 0, f"{owner} reached a server that is not there")
            self.assertNotIn("Usage:", said, owner)
            self.assertNotIn("there is no scenario", said, owner)
