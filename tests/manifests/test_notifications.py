"""Notifications of deployments: what one file names exists in another."""

import json
import re
import unittest
from typing import Any

import yaml

import world

SUBSCRIBE = "notifications.argoproj.io/subscribe."


def loose(kind: str, name: str | None = None) -> list[world.Object]:
    """Objects of the GitOps examples."""
    objects = [item for _, item in world.current().loose() if item["kind"] == kind]
    return [item for item in objects if name in (None, item["metadata"]["name"])]


def keys_of(text: str) -> list[str] | str:
    """The keys of a JSON object, or what is wrong with it."""
    try:
        return list(json.loads(text))
    except ValueError as error:
        return str(error)


class Notifications(unittest.TestCase):
    """Neither Flux nor Argo CD says a word about a name that it does not find."""

    def argo(self) -> dict[str, Any]:
        """Argo CD's configuration: its values are YAML, too."""
        data = loose("ConfigMap", "argocd-notifications-cm")[0]["data"]
        return {key: yaml.safe_load(text) for key, text in data.items()}

    def test_every_argo_subscription_names_an_existing_trigger_and_service(self) -> None:
        told = self.argo()
        for application in loose("Application"):
            annotations = application["metadata"].get("annotations", {})
            names = [key.removeprefix(SUBSCRIBE) for key in annotations if key.startswith(SUBSCRIBE)]
            self.assertTrue(names, f"{application['metadata']['name']} tells nobody")
            for name in names:
                trigger, service = name.split(".")
                self.assertIn(f"trigger.{trigger}", told)
                self.assertIn(f"service.webhook.{service}", told)

    def test_every_argo_trigger_sends_a_message_that_the_chat_accepts(self) -> None:
        told = self.argo()
        services = {key.removeprefix("service.webhook.") for key in told if key.startswith("service.webhook.")}
        for key in (key for key in told if key.startswith("trigger.")):
            for rule in told[key]:
                self.assertTrue(rule["when"], key)
                for template in rule["send"]:
                    self.assertIn(f"template.{template}", told)
                    for service, request in told[f"template.{template}"]["webhook"].items():
                        self.assertIn(service, services)
                        self.assertEqual(keys_of(re.sub(r"{{.*?}}", "x", request["body"])), ["text"], template)

    def test_flux_watches_existing_objects_and_notifies_a_provider(self) -> None:
        providers = {item["metadata"]["name"] for item in loose("Provider")}
        self.assertTrue(loose("Alert"))
        for alert in loose("Alert"):
            self.assertIn(alert["spec"]["providerRef"]["name"], providers)
            watched = {(source["kind"], source["name"]) for source in alert["spec"]["eventSources"]}
            there = {(kind, item["metadata"]["name"]) for kind in ("GitRepository", "Kustomization") for item in loose(kind)}
            self.assertEqual(watched, there)
