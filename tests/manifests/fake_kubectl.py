"""A kubectl for tests of scripts: it talks to a cluster that is a folder.

Objects are files in $WORLD/objects. Who owns a field is kept as the API server keeps it, for `spec.replicas`, the one
field that these scripts are about: https://kubernetes.io/docs/reference/using-api/server-side-apply. Templates, patches
and renderings are made by the real kubectl, which needs no cluster for them.

$WORLD/log has each command that changes or waits for something. $WORLD/refuse holds back: the words of an error for the
next trial run (`trial`), creation of a ScaledObject (`webhook`) or rollout (`rollout`). $RENDERED keeps renderings.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

Object = dict[str, Any]
WORLD = Path(os.environ["WORLD"])
REAL = os.environ["REAL_KUBECTL"]
# Who owns `spec.replicas` according to an entry.
OWNS = {"f:spec": {"f:replicas": {}}}
LAST = "kubectl.kubernetes.io/last-applied-configuration"
SHORT = {"deployment": "Deployment", "hpa": "HorizontalPodAutoscaler", "namespace": "Namespace"}
SHORT["scaledobject.keda.sh"] = "ScaledObject"


def fail(words: str) -> NoReturn:
    """Ends as kubectl does."""
    print(f"error: {words}", file=sys.stderr)
    sys.exit(1)


def note(line: str) -> None:
    """Remembers what was done."""
    with (WORLD / "log").open("a") as log:
        log.write(line + "\n")


def held_back(what: str) -> str:
    """Words of an error that is to come once."""
    file = WORLD / f"refuse-{what}"
    words = file.read_text() if file.exists() else ""
    file.unlink(missing_ok=True)
    return words


def path_of(kind: str, name: str) -> Path:
    """Where an object is kept."""
    return WORLD / "objects" / f"{kind}.{name}.json"


def load(target: str) -> tuple[Path, Object | None]:
    """An object by TYPE/NAME."""
    short, _, name = target.partition("/")
    if short == "scaledobject.keda.sh" and not (WORLD / "keda").exists():
        fail('the server doesn\'t have a resource type "scaledobject"')
    path = path_of(SHORT[short], name)
    return path, json.loads(path.read_text()) if path.exists() else None


def save(path: Path, item: Object) -> None:
    """Keeps an object, and lets KEDA do its work."""
    path.write_text(json.dumps(item))
    if item["kind"] == "ScaledObject" and not (WORLD / "keda-sleeps").exists():
        behavior = item["spec"].get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
        made = {"minReplicas": item["spec"]["minReplicaCount"], "maxReplicas": item["spec"]["maxReplicaCount"]}
        hpa = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": item["metadata"]["name"]}}
        save(path_of(hpa["kind"], "tallycast-server"), hpa | {"spec": made | {"behavior": behavior}})


def real(*arguments: str, text: str | None = None) -> str:
    """What the real kubectl makes of it."""
    made = subprocess.run([REAL, *arguments], input=text, capture_output=True, text=True, check=False)
    if made.returncode:
        fail(made.stderr.strip())
    return made.stdout


def entries(item: Object) -> list[Object]:
    """Who manages fields of an object."""
    return item["metadata"].setdefault("managedFields", [])


def owns(entry: Object) -> bool:
    """True if the number of pods is this manager's."""
    return "f:replicas" in entry["fieldsV1"].get("f:spec", {})


def merge(live: Object, new: Object) -> Object:
    """Given fields replace old ones; the rest stays."""
    both = {key: merge(live[key], new[key]) for key in new if isinstance(new[key], dict) and isinstance(live.get(key), dict)}
    return live | new | both


def apply_one(new: Object, server_side: bool, force: bool, trial: bool) -> None:
    """One object of an apply."""
    path = path_of(new["kind"], new["metadata"]["name"])
    live: Object | None = json.loads(path.read_text()) if path.exists() else None
    if live is None and new["kind"] == "ScaledObject" and not trial and (words := held_back("webhook")):
        fail(words)
    item = merge(live, new) if live else json.loads(json.dumps(new))
    if new["kind"] == "Deployment":
        apply_number(live, new, item, server_side, force)
    if not trial:
        save(path, item)


def apply_number(live: Object | None, new: Object, item: Object, server_side: bool, force: bool) -> None:
    """`spec.replicas` of a Deployment: a number that its last owner says no more becomes 1."""
    said = new["spec"].get("replicas")
    managers = entries(item)
    by_scale = [entry for entry in managers if owns(entry) and entry.get("subresource") == "scale"]
    by_files = [entry for entry in managers if owns(entry) and not entry.get("subresource")]
    notes = item["metadata"].setdefault("annotations", {})
    if live and said is not None and server_side and by_scale and live["spec"]["replicas"] != said:
        if not force:
            fail(f'Apply failed with 1 conflict: conflict with "{by_scale[0]["manager"]}": .spec.replicas')
        managers[:] = [entry for entry in managers if entry not in by_scale]
    # server-side its owner gives it up; client-side the one that has it in its last-applied annotation
    gives_up = by_files and not by_scale if server_side else "replicas" in json.loads(notes.get(LAST, "{}"))
    if live and said is None and gives_up:
        item["spec"]["replicas"] = 1
    item["spec"].setdefault("replicas", 1)
    managers[:] = [entry for entry in managers if entry.get("subresource")]
    manager, operation = ("kubectl", "Apply") if server_side else ("kubectl-client-side-apply", "Update")
    managers.append({"manager": manager, "operation": operation, "fieldsV1": {} if said is None else OWNS})
    if LAST in notes or not server_side:
        notes[LAST] = json.dumps({} if said is None else {"replicas": said})


def apply(arguments: list[str]) -> None:
    """`apply -k FOLDER` or `-f FILE`."""
    trial = "--dry-run=server" in arguments
    flag = "-k" if "-k" in arguments else "-f"
    what = arguments[arguments.index(flag) + 1]
    import yaml  # most calls do without, and are sooner done

    text = render(what) if flag == "-k" else Path(what).read_text()
    if trial and (words := held_back("trial")):
        fail(words)
    if not trial:
        note(f"apply {what}")
    for item in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if flag == "-k" and not path_of("Namespace", "tallycast").exists() and item["kind"] != "Namespace":
            fail('namespaces "tallycast" not found')
        apply_one(item, "--server-side" in arguments, "--force-conflicts" in arguments, trial)


def render(folder: str) -> str:
    """What the real kubectl makes of an overlay; made once for the same files, since that is most of a test's time."""
    key = hashlib.sha256(folder.encode())
    for file in sorted(path for path in Path("manifests").rglob("*") if path.is_file()):
        key.update(str(file).encode() + file.read_bytes())
    kept = Path(os.environ["RENDERED"]) / key.hexdigest()
    if not kept.exists():
        kept.write_text(real("kustomize", folder))
    return kept.read_text()


def option(arguments: list[str], name: str) -> str:
    """The value of --NAME=VALUE or of --NAME VALUE."""
    for index, word in enumerate(arguments):
        if word == name:
            return arguments[index + 1]
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return ""


def template(item: Object, how: str) -> str:
    """What the real kubectl prints of an object; annotating is something that it does without a cluster."""
    return real("annotate", "--local", "-f", "-", "a=b", "-o", how, text=json.dumps({"apiVersion": "v1"} | item))


def get(target: str, arguments: list[str]) -> None:
    """One object, by a template."""
    _, item = load(target)
    if item is None:
        if "--ignore-not-found" in arguments:
            return
        fail(f'"{target}" not found')
    how = option(arguments, "-o")
    if how == "name":
        print(target)
    else:
        sys.stdout.write(template(item, how))


def scale(target: str, arguments: list[str]) -> None:
    """Sets the number, and owns it then."""
    path, item = load(target)
    replicas = int(option(arguments, "--replicas"))
    note(f"scale {target} to {replicas}")
    assert item
    if item["spec"]["replicas"] != replicas:
        for entry in entries(item):
            if owns(entry):
                entry["fieldsV1"] = {}
        entries(item).append({"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": OWNS})
    item["spec"]["replicas"] = replicas
    save(path, item)
    print(f"{target} scaled")


def patch(target: str, arguments: list[str]) -> None:
    """As the real one does it."""
    path, item = load(target)
    text = option(arguments, "--patch")
    note(f"patch {target} by {option(arguments, '--field-manager') or 'kubectl-patch'}: {text}")
    if item is None:
        fail(f'"{target}" not found')
    how = ["--local", "-f", "-", f"--type={option(arguments, '--type')}", "-p", text, "-o", "json", "--show-managed-fields"]
    save(path, json.loads(real("patch", *how, text=json.dumps({"apiVersion": "v1"} | item))))


def wait(target: str, arguments: list[str]) -> None:
    """`--for=jsonpath={…}=VALUE`, without any patience."""
    _, item = load(target)
    how, _, value = option(arguments, "--for").removeprefix("jsonpath=").partition("}=")
    if item is None:
        fail(f'"{target}" not found')
    if template(item, f"jsonpath={how}}}") != value:
        fail("timed out waiting for the condition")


def main(arguments: list[str]) -> None:
    """One call."""
    if arguments[:2] == ["--namespace", "tallycast"]:
        arguments = arguments[2:]
    match arguments:
        case ["config", "current-context"]:
            print("made-up")
        case ["apply", *rest]:
            apply(rest)
        case ["get", target, *rest]:
            get(target, rest)
        case ["scale", target, *rest]:
            scale(target, rest)
        case ["patch", target, *rest]:
            patch(target, rest)
        case ["wait", target, *rest]:
            wait(target, rest)
        case ["rollout", "status", target, *_]:
            note(f"wait for {target}")
            if words := held_back("rollout"):
                fail(words)
        case _:
            fail(f"unknown: {arguments}")


if __name__ == "__main__":
    main(sys.argv[1:])
