"""Every object is what Kubernetes, or the operator it is for, says such an object is."""

import json
import shutil
import subprocess
import unittest
from pathlib import Path

import kubernetes_validate

import world
from objects import RenderedCheck, say

# The oldest Kubernetes that has everything used here by default (native sidecars, preStop sleep), and the
# newest whose schemas there are.
VERSIONS = ("1.32", "1.37")

# Whoever brings another kind of custom resource adds it here, and sees in doing so that it is checked.
CUSTOM = {
    "argoproj.io/v1alpha1 Application",
    "cert-manager.io/v1 Certificate",
    "cert-manager.io/v1 Issuer",
    "external-secrets.io/v1 ExternalSecret",
    "gateway.networking.k8s.io/v1 Gateway",
    "gateway.networking.k8s.io/v1 HTTPRoute",
    "gateway.networking.k8s.io/v1 TLSRoute",
    "keda.sh/v1alpha1 ScaledObject",
    "kustomize.toolkit.fluxcd.io/v1 Kustomization",
    "monitoring.coreos.com/v1alpha1 AlertmanagerConfig",
    "monitoring.coreos.com/v1 PodMonitor",
    "monitoring.coreos.com/v1 PrometheusRule",
    "notification.toolkit.fluxcd.io/v1beta3 Alert",
    "notification.toolkit.fluxcd.io/v1beta3 Provider",
    "source.toolkit.fluxcd.io/v1 GitRepository",
}


def kind_of(item: world.Object) -> str:
    """API version and kind."""
    return f"{item['apiVersion']} {item['kind']}"


def is_custom(item: world.Object) -> bool:
    """True for what is not part of Kubernetes itself."""
    group = item["apiVersion"].partition("/")[0]
    builtin = "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway."))
    return "/" in item["apiVersion"] and not builtin


def distinct(objects: list[world.Object]) -> list[world.Object]:
    """Each object once: most renderings hold the same."""
    return [json.loads(text) for text in sorted({json.dumps(item, sort_keys=True, default=str) for item in objects})]


class Schemas(RenderedCheck):
    """Of all renderings together, since they share most objects."""

    def everything(self) -> list[world.Object]:
        """Each object of every rendering, and the loose ones."""
        seen = world.current()
        return distinct(
            [item for objects in seen.renderings.values() for item in objects] + [i for _, i in seen.loose()]
        )

    def test_everything_renders_without_deprecated_fields(self) -> None:
        self.assertEqual(world.current().broken, {})
        self.assertTrue(world.current().renderings)

    def test_every_kubernetes_object_is_strictly_valid(self) -> None:
        for item in self.everything():
            if is_custom(item):
                continue
            for version in VERSIONS:
                with self.subTest(item=say(item), version=version):
                    try:
                        kubernetes_validate.validate(item, version, strict=True)
                    except kubernetes_validate.ValidationError as error:
                        self.fail(f"{'.'.join(map(str, error.path))}: {error.message[:300]}")

    def test_every_custom_resource_is_of_a_kind_that_is_listed(self) -> None:
        for item in self.everything():
            if is_custom(item):
                self.assertIn(kind_of(item), CUSTOM, say(item))

    def test_every_custom_resource_is_strictly_valid(self) -> None:
        folder = Path(__file__).parent
        if not shutil.which("node") or not (folder / "node_modules").is_dir():
            raise unittest.SkipTest("there is no node, or not its packages: scripts/deps.sh installs them")
        items = [item for item in self.everything() if is_custom(item)]
        asked = subprocess.run(
            ["node", "custom.mjs"], cwd=folder, input=json.dumps(items), capture_output=True, text=True, check=False
        )
        self.assertEqual(asked.returncode, 0, asked.stderr)
        for item, complaints in zip(items, json.loads(asked.stdout), strict=True):
            with self.subTest(item=say(item)):
                self.assertEqual(complaints, [])
