"""The documents are correct: every command, unit, configuration, file and link in them is valid.

Each check is a function that returns its complaints about a page; `Faults` shows that each finds its kind of fault.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pages import Fence, Page, commands, environment, every_page, inline_commands, our_own
from project import ROOT

BINARIES = ROOT / "target/debug"
MAKE_TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
COMPOSE = (ROOT / "compose.yaml").read_text()
TOP = {path.name for path in ROOT.iterdir()} - {"target", "certs", "secrets", "data", "node_modules", "test-results"}
# Kinds of objects that pages name as kind/name, and what they are called when they are made.
KINDS = ("deployment", "statefulset", "cronjob", "job", "service", "svc", "horizontalpodautoscaler", "hpa", "scaledobject")
VERIFIED_UNITS = "/etc/systemd/system/"


def shell(page: Page) -> list[str]:
    """Shell is shell, and calls what there is."""
    return [said for script in page.shell() for _, said in [commands(script)] if said]


def programs(page: Page) -> list[str]:
    """tallycast and loadtest take every command line."""
    complaints = []
    whole = [our_own(command) for script in page.shell() for command in commands(script)[0]]
    for is_whole, command in [(True, c) for c in whole] + [(False, our_own(c)) for c in inline_commands(page)]:
        if command[0] in ("tallycast", "loadtest") and len(command) > 1:
            said = misunderstood(tuple(command), is_whole)
            complaints += [f"{' '.join(command)}: {said}"] if said else []
    return complaints


@cache
def misunderstood(command: tuple[str, ...], is_whole: bool) -> str:
    """What the real program does not understand of a command line; nothing is done."""
    program, *arguments = command
    # --help is done before anything else, and after what is wrong; so what is missing shows without it alone
    if not is_whole or program == "loadtest":
        arguments = [*arguments, "--help"]
    # N stands for a number
    arguments = ["3" if word == "N" else word for word in arguments]
    for n, word in enumerate(arguments[:-1]):
        if word in ("--url", "--emcee-url"):
            arguments[n + 1] = "http://127.0.0.1:1"
        if word == "--wait":
            arguments[n + 1] = "0s"
    with tempfile.TemporaryDirectory() as empty:
        ran = subprocess.run(
            [BINARIES / program, *arguments], cwd=empty, env=environment(), capture_output=True, text=True, check=False,
            timeout=60,
        )
    if arguments[-1:] == ["--help"]:
        return ran.stderr if ran.returncode else ""
    if ran.returncode == 0:
        return "it reached a server that is not there"
    return ran.stderr if re.search(r"(?m)^Usage:|^error:", ran.stderr) else ""


def starting(page: Page) -> list[str]:
    """Pasted at once, a command waits for the server that the line before starts."""
    complaints = []
    for script in page.shell():
        server_is_there = True
        for command in map(our_own, commands(script)[0]):
            if command == ["tallycast"]:
                server_is_there = False
            elif command[0] in ("curl", "tallycast") and not server_is_there:
                if "--wait" not in command and "until curl" not in script:
                    complaints.append(f"{' '.join(command)}: the server is only being started")
                server_is_there = True
    return complaints


def make(page: Page) -> list[str]:
    """Every target of make exists."""
    called = [command for script in page.shell() for command in commands(script)[0]] + list(inline_commands(page))
    targets = {word for command in called if command[0] == "make" for word in command[1:] if "=" not in word}
    return [f"make {target}: there is none" for target in targets - MAKE_TARGETS if re.fullmatch(r"[a-z-]+", target)]


def cargo(page: Page) -> list[str]:
    """Every test and package in a cargo command exists."""
    called = [command for script in page.shell() for command in commands(script)[0]] + list(inline_commands(page))
    complaints = []
    for command in called:
        for option, name in zip(command, command[1:]):
            places = {
                "--test": [f"tests/{name}.rs", f"tests/{name}/main.rs"],
                "-p": [f"{name}/Cargo.toml"],
                "--package": [f"{name}/Cargo.toml"],
            }.get(option)
            if command[0] == "cargo" and places and not any((ROOT / place).exists() for place in places):
                complaints.append(f"{' '.join(command)}: there is no {name}")
    return complaints


def docker(page: Page) -> list[str]:
    """Every service in a compose command exists."""
    called = [command for script in page.shell() for command in commands(script)[0]]
    called += [span.split() for span in page.spans() if span.startswith("docker compose ")]
    named = [words[3:] for words in called if words[:3] in (["docker", "compose", "run"], ["docker", "compose", "exec"])]
    services = [next((word for word in words if not word.startswith("-")), "") for words in named]
    return [f"docker compose has no service {name}" for name in services if f"\n  {name}:\n" not in COMPOSE]


def kubectl(page: Page) -> list[str]:
    """kubectl takes every command line, and what is named in it exists in the manifests."""
    whole = [command for script in page.shell() for command in commands(script)[0]]
    complaints = []
    for command in [*whole, *inline_commands(page)]:
        if command[0] == "kubectl":
            said = unknown_to_kubectl(tuple(command[1:]), command in whole)
            complaints += [f"{' '.join(command)}: {said}"] if said else []
            for kind, name in (word.split("/", 1) for word in command if re.match(rf"({'|'.join(KINDS)})/", word)):
                if name not in object_names() and not re.match(r"[A-Z<$]", name):
                    complaints.append(f"{' '.join(command)}: the manifests have no {kind} {name}")
    return complaints


@cache
def kubectl_program() -> str:
    """Its path, empty where there is none to be had."""
    found = subprocess.run([ROOT / "scripts/kubectl.sh"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


@cache
def object_names() -> set[str]:
    texts = [path.read_text() for path in (ROOT / "manifests").rglob("*.yaml")]
    return {name for text in texts for name in re.findall(r"(?m)^\s*(?:- )?name: ([\w-]+)$", text)}


@cache
def unknown_to_kubectl(arguments: tuple[str, ...], is_whole: bool) -> str:
    """What kubectl does not understand. It finds no cluster: what it says of that is no complaint."""
    told = [*arguments]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in TOP:
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(certificates(), folder / "certs")
        subprocess.run([ROOT / "scripts/secrets.sh"], env=os.environ | {"SECRETS": str(folder / "secrets")}, check=True,
                       stdout=subprocess.DEVNULL)
        if "create" in told:
            told += ["--dry-run=client", "--output=name"]
        elif "-k" in told and is_whole:
            told = ["kustomize", told[told.index("-k") + 1]]
        elif "apply" in told or "delete" in told:
            files = [word for option, word in zip(told, told[1:]) if option in ("-f", "--filename")]
            missing = [file for file in files if not (folder / file).exists() and re.match(r"[\w.]+/", file)]
            if missing:
                return f"there is no {missing[0]}"
        ran = subprocess.run(
            [kubectl_program(), "--server=http://127.0.0.1:1", "--request-timeout=5s", *told], cwd=folder, env=environment(),
            capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        )
    if ran.returncode == 0 or "connection refused" in ran.stderr or "was refused" in ran.stderr:
        return ""
    # a part of a command may lack what it is about
    return ran.stderr if is_whole or re.search(r"unknown (flag|shorthand|command)", ran.stderr) else ""


@cache
def certificates() -> Path:
    """Made once, for all that wants some; removed with the process."""
    folder = Path(tempfile.mkdtemp())
    unittest.addModuleCleanup(shutil.rmtree, folder)
    told = os.environ | {"CERTS": str(folder / "certs")}
    subprocess.run([ROOT / "scripts/certs.sh"], env=told, stdout=subprocess.DEVNULL, check=True)
    return folder / "certs"


def units(page: Page) -> list[str]:
    """systemd takes every unit, under the name that the line before it says."""
    found: dict[str, str] = {}
    for fence in page.fences:
        if fence.language == "ini" and "[Unit]" in fence.text:
            name = re.search(r"[\w-]+\.service", fence.heading)
            if not name:
                return [f"a unit without a name: {fence.text[:40]}"]
            # what is installed there is what was built here
            found[name[0]] = fence.text.replace("/usr/local/bin/", f"{BINARIES}/")
    if not found:
        return []
    with tempfile.TemporaryDirectory() as temporary:
        paths = [Path(temporary) / name for name in found]
        for path in paths:
            path.write_text(found[path.name])
        # others' units, which a page leaves as they are, are not its matter
        ran = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths],
            capture_output=True, text=True, check=False,
        )
    lines = [line for line in ran.stderr.splitlines() if any(name in line for name in found)]
    return lines or ([] if ran.returncode == 0 else [ran.stderr])


def nginx(page: Page) -> list[str]:
    """nginx takes its configuration as the page has it changed."""
    return [
        said
        for fence in page.fences
        if fence.language == "sh" and "nginx.conf" in fence.text
        for said in [configured_nginx(fence)]
        if said
    ]


def configured_nginx(fence: Fence) -> str:
    """Does what the fence says from where the configuration is copied on, below a folder of its own."""
    begin = fence.text.find("mkdir -p /etc/tallycast")
    if begin < 0:
        return f"nothing is copied to /etc/tallycast in: {fence.text}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(ROOT / "manifests/base/nginx", folder / "nginx")
        shutil.copytree(certificates(), folder / "certs")
        script = fence.text[begin:].replace("/etc/tallycast", f"{folder}/etc/tallycast", 1)
        script = script.replace(" /etc/tallycast/", f" {folder}/etc/tallycast/")
        ran = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=False)
        if ran.returncode:
            return ran.stderr
        conf = folder / "etc/tallycast/nginx/nginx.conf"
        text = conf.read_text()
        if "/etc/tallycast/tls" in re.sub(r"(?m)^\s*#.*$", "", text) or not re.search(r"listen 443 ssl", text):
            return "what the first lines say to replace was not replaced"
        live = re.compile(r"/etc/letsencrypt/live/[\w.]+/")
        text = live.sub(f"{folder}/certs/", text).replace("fullchain.pem", "tls.crt").replace("privkey.pem", "tls.key")
        # as PrivateTmp has it
        conf.write_text(text.replace("/tmp/nginx", f"{folder}/run-nginx"))
        tested = subprocess.run(["nginx", "-t", "-c", conf, "-e", "stderr"], capture_output=True, text=True, check=False)
        return tested.stderr if tested.returncode else ""


def files(page: Page) -> list[str]:
    """What is named as a file of the project exists."""
    complaints = []
    for span in page.spans():
        path = span.removeprefix("./").rstrip("/")
        beside = (ROOT / page.path).parent / path
        if not re.fullmatch(r"[\w.*-]+(/[\w.*-]+)+", path) or path.split("/")[0] not in TOP or beside.exists():
            continue
        if "*" in path:
            found = bool(list(ROOT.glob(path)))
        else:
            # a module may be named without its ending
            found = any((ROOT / f"{path}{ending}").exists() for ending in ("", ".rs"))
        if not found:
            complaints.append(f"there is no {span}")
    return complaints


def links(page: Page) -> list[str]:
    """Links lead somewhere, anchors too."""
    complaints = []
    for target in page.links():
        path, _, anchor = target.partition("#")
        there = (ROOT / page.path).parent / path if path else ROOT / page.path
        if not there.exists():
            complaints.append(f"{target}: there is no such file")
        elif anchor and there.suffix == ".md":
            known = (Page(path, there.read_text()) if path else page).anchors()
            if anchor not in known:
                complaints.append(f"{target}: there is no such heading")
    return complaints


CHECKS: list[Callable[[Page], list[str]]] = [
    shell, programs, starting, make, cargo, docker, kubectl, units, nginx, files, links,
]  # fmt: skip


class Pages(unittest.TestCase):
    def test_every_page_is_correct(self) -> None:
        for program in ("tallycast", "loadtest"):
            self.assertTrue((BINARIES / program).is_file(), "run `cargo build --workspace` first")
        for program in ("systemd-analyze", "nginx"):
            self.assertTrue(shutil.which(program), f"there is no {program}: scripts/deps.sh installs it")
        for page in every_page():
            for check in CHECKS:
                with self.subTest(page=page.path, check=check.__name__):
                    if check is kubectl and not kubectl_program():
                        self.skipTest("there is no kubectl")
                    self.assertEqual(check(page), [])

    def test_the_pages_have_something_to_check(self) -> None:
        """A pattern that finds nothing would accept everything."""
        found = every_page()
        typed = [command[0] for page in found for script in page.shell() for command in commands(script)[0]]
        for program, least in (("tallycast", 15), ("loadtest", 3), ("kubectl", 12), ("make", 4), ("cargo", 6)):
            self.assertGreater(typed.count(program), least, program)
        self.assertGreater(sum(len(page.links()) for page in found), 40)
        self.assertGreater(sum(fence.language == "ini" for page in found for fence in page.fences), 1)


def fenced(language: str, text: str, heading: str = "So:") -> str:
    return f"# Page\n\n{heading}\n\n```{language}\n{text}\n```\n"


UNIT = "[Unit]\nDescription=x\n[Service]\nUser=root\n"
# A fault on a page, and a word of the complaint.
FAULTS: list[tuple[Callable[[Page], list[str]], str, str]] = [
    (shell, fenced("sh", "for x in 1 2; echo $x"), "syntax error"),
    (shell, fenced("sh", "tallycats export"), "not found"),
    (shell, fenced("sh", "echo secret > /etc/passwd"), "outside"),
    (programs, fenced("sh", "tallycast export K7M2QX --evrey 5s --dir standby"), "--evrey"),
    (programs, fenced("sh", "tallycast import --wait 5s"), "required"),
    (programs, fenced("", "$ tallycast audti gala"), "audti"),
    (programs, fenced("sh", "cargo run --release -p loadtest -- evening --voterz 3"), "--voterz"),
    (programs, "# Page\n\nOr `tallycast purge --olderthan 90d`.\n", "--olderthan"),
    (starting, fenced("sh", "tallycast &\ntallycast import a.ndjson --key-file data/emcee.key"), "only being started"),
    (make, fenced("sh", "make monitro"), "monitro"),
    (make, "# Page\n\nOr `make certz`.\n", "certz"),
    (cargo, "# Page\n\nOr `cargo test --test evenig`.\n", "evenig"),
    (docker, "# Page\n\nOr `docker compose run --rm chekc`.\n", "chekc"),
    (kubectl, fenced("sh", "kubectl -n tallycast get pods --wacth"), "--wacth"),
    (kubectl, fenced("sh", "kubectl apply -k manifests/overlays/prodcution"), "prodcution"),
    (kubectl, fenced("sh", "kubectl apply -f manifests/base/namespaces.yaml"), "namespaces.yaml"),
    (kubectl, fenced("sh", "kubectl -n x create secret tls t --cert certs/none.crt --key certs/tls.key"), "none.crt"),
    (kubectl, "# Page\n\nOr `kubectl scale deployment/tallycast-sever --replicas=8`.\n", "tallycast-sever"),
    (units, fenced("ini", UNIT, "`/etc/systemd/system/x.service`:"), "ExecStart"),
    (units, fenced("ini", UNIT + "ExecStrat=/bin/true\nExecStart=/bin/true\n", "`x.service`:"), "ExecStrat"),
    (units, fenced("ini", UNIT + "ExecStart=/usr/local/bin/talycast\n", "`x.service`:"), "talycast"),
    (nginx, fenced("sh", "mkdir -p /etc/tallycast\ncp -r nginx /etc/tallycast/\n# nginx.conf"), "not replaced"),
    (nginx, fenced("sh", "mkdir -p /etc/tallycast\ncp -r ngnix /etc/tallycast/\n# nginx.conf"), "ngnix"),
    (files, "# Page\n\nIt is in `scripts/bunch.sh`.\n", "scripts/bunch.sh"),
    (files, "# Page\n\nIt is in `manifests/*/dashbords`.\n", "dashbords"),
    (links, "# Page\n\n[There](docs/venues.md).\n", "docs/venues.md"),
    (links, "# Page\n\n[There](docs/venue.md#a-big-server).\n", "a-big-server"),
    (links, "# Page\n\n[There](#nowhere).\n", "nowhere"),
]


class Faults(unittest.TestCase):
    def test_each_check_finds_a_planted_fault(self) -> None:
        self.assertEqual({check for check, _, _ in FAULTS}, set(CHECKS))
        for check, text, word in FAULTS:
            with self.subTest(check=check.__name__, word=word):
                if check is kubectl and not kubectl_program():
                    self.skipTest("there is no kubectl")
                complaints = check(Page("README.md", text))
                self.assertTrue(any(word in complaint for complaint in complaints), complaints)
