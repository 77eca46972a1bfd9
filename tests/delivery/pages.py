"""The commands, files and links of the documents, extracted from Markdown.

Shell is read by a shell: each fence runs in a bash that finds no program and records what it would call. So quotes,
loops and `$(…)` mean the same as on a command line, and nothing is executed.
"""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from project import ROOT

# What pages may call beside our own programs.
KNOWN_PROGRAMS = """
  apt-get az cargo cat certbot cp curl docker eksctl export gcloud grep install ip jq kubectl loadtest make minikube mkdir
  openssl sed sleep sudo systemctl tallycast tar tee useradd websocat
"""
# What inline code begins with if it is a command.
INLINE = ("tallycast ", "loadtest ", "kubectl ", "make ", "cargo ")
# Bash calls this for every program, because its PATH has none.
RECORDER = """
command_not_found_handle() {
  [[ " $KNOWN " == *" $1 "* ]] || { echo "$1: not found" >&2; return 127; }
  # at once, for several may write at the same time
  printf '%s\\0' "$@" $'\\1' >>"$RECORD"
}
"""


@dataclass
class Fence:
    """A block of code."""

    language: str
    text: str
    # the paragraph before it, which may name a file
    heading: str


@dataclass
class Page:
    """A page, by its path from the root."""

    path: str
    text: str
    fences: list[Fence] = field(default_factory=list)
    # everything but the fences
    prose: str = ""

    def __post_init__(self) -> None:
        for found in re.finditer(r"(?ms)^```(\w*)\n(.*?)^```$", self.text):
            before = self.text[: found.start()].rstrip().rpartition("\n\n")[2]
            self.fences.append(Fence(found[1], found[2], before))
        self.prose = re.sub(r"(?ms)^```.*?^```$", "", self.text)

    def spans(self) -> list[str]:
        """Inline code."""
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", self.prose)]

    def shell(self) -> Iterator[str]:
        """What is typed: shell fences, and the lines behind `$ ` of what is shown."""
        for fence in self.fences:
            if fence.language == "sh":
                yield fence.text
            elif fence.language == "":
                yield from re.findall(r"(?m)^\$ (.*)$", fence.text)

    def links(self) -> list[str]:
        """Where it leads to within the project."""
        targets = re.findall(r"\]\(([^)\s]+)\)", self.prose)
        return [target for target in targets if not re.match(r"[a-z]+:", target)]

    def anchors(self) -> set[str]:
        """What `#…` may lead to: its headings, as GitHub calls them."""
        found: set[str] = set()
        for heading in re.findall(r"(?m)^#+ (.*)$", self.prose):
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
            name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            found.add(name if name not in found else f"{name}-1")
        return found


def every_page() -> list[Page]:
    """All that is kept in the project."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    paths = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [Page(path, (ROOT / path).read_text()) for path in paths if (ROOT / path).exists()]


@cache
def commands(script: str) -> tuple[list[list[str]], str]:
    """The programs that a shell would call, with their arguments; and what it complains of."""
    if re.search(r">\s*[/~]", script):
        return [], f"writes outside of its folder: {script}"
    # one after the other, so that the order is that of the page
    script = re.sub(r"(?m)(?<![&>])&[ \t]*$", "", script)
    with tempfile.TemporaryDirectory() as temporary:
        folder, record = Path(temporary) / "here", Path(temporary) / "record"
        # what `make certs` makes is written to
        (folder / "certs").mkdir(parents=True)
        record.touch()
        told = {"PATH": "/nonexistent", "RECORD": str(record), "KNOWN": " ".join(KNOWN_PROGRAMS.split())}
        ran = subprocess.run(
            ["/bin/bash", "-c", f"{RECORDER}{script}"], cwd=folder, env=told, capture_output=True, text=True,
            check=False, timeout=60,
        )
        called = [line.split("\0")[:-1] for line in record.read_text().split("\1\0")[:-1]]
    return called, ran.stderr


def inline_commands(page: Page) -> Iterator[list[str]]:
    """Commands in inline code: often only as much of one as the sentence needs."""
    for span in page.spans():
        if span.startswith(INLINE):
            for part in re.split(r" [|&>] ?", re.sub(r"&& .*", "", span))[:1]:
                yield shlex.split(part)


def our_own(command: list[str]) -> list[str]:
    """The same command without what runs it: `cargo run -p loadtest -- plan` is `loadtest plan`."""
    if command[0] == "sudo":
        command = command[1:]
    if command[:2] == ["cargo", "run"]:
        options, _, arguments = " ".join(command[2:]).partition("-- ")
        program = "loadtest" if re.search(r"(-p|--package) loadtest", options) else "tallycast"
        return [program, *command[len(command) - len(arguments.split()) :]] if arguments else [program]
    return command


def environment() -> dict[str, str]:
    """For a program that must only read its command line: it finds no server."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TALLYCAST_URL": "http://127.0.0.1:1"}
