"""Real processes for the checks: Redis and Tallycast, each ended with the test."""

import os
import shutil
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import world

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))

from ports import free_port  # noqa: E402


def tallycast() -> Path | None:
    """The server's binary: TALLYCAST_BIN, else the one that `cargo build` makes."""
    path = Path(os.environ.get("TALLYCAST_BIN", world.ROOT / "target/debug/tallycast"))
    return path if path.exists() else None


def need(*programs: str) -> None:
    """Leaves a check out where a program is missing."""
    for program in programs:
        if not shutil.which(program):
            raise unittest.SkipTest(f"there is no {program}: scripts/deps.sh installs it")
    if not tallycast():
        raise unittest.SkipTest("there is no server to ask: cargo build")


def start(stack: ExitStack, command: list[str], gently: bool = False, **options: object) -> subprocess.Popen[str]:
    """Starts a process that ends with the stack: gently, where it has children to end first."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]

    def end() -> None:
        if gently:
            process.terminate()
        else:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()

    stack.callback(end)
    return process


def connect(port: int, process: subprocess.Popen[str], seconds: float = 15) -> socket.socket:
    """A connection to a process that is about to listen."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=seconds)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                assert process.stdout
                process.kill()
                raise AssertionError(f"nobody listens on {port}: {process.stdout.read()[-800:]}") from None
        time.sleep(0.02)


def start_redis(stack: ExitStack, folder: Path, files: dict[str, str], passwords: Path) -> int:
    """Starts Redis with the configuration files and users of the manifests and gives its port."""
    port = free_port()
    for name, text in files.items():
        (folder / name).write_text(text.replace("dir /data", f"dir {folder}"), encoding="utf-8")
    command = ["sh", "./with_users.sh", "redis-server", "redis.conf", "--port", str(port), "--bind", "127.0.0.1"]
    told = os.environ | {"PASSWORDS": str(passwords), "USERS": str(folder)}
    redis = start(stack, command, cwd=folder, env=told)
    assert redis.stdout
    for line in redis.stdout:
        if "Ready to accept connections" in line:
            return port
    raise AssertionError("redis-server ended by itself")


def start_tallycast(stack: ExitStack, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Starts the server with this environment alone, in the tree's folder, where its config is."""
    return start(stack, [str(tallycast())], cwd=world.current().root, env=environment)


def ask(url: str, process: subprocess.Popen[str], seconds: float = 15) -> str:
    """The body of the first 200 of a process that is about to be up."""
    last = "no answer"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stdout
            raise AssertionError(f"the server ended: {process.stdout.read()[-800:]}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            last = f"{error.code}: {error.read().decode()[:400]}"
        except OSError as error:
            last = str(error)
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer 200: {last}")
