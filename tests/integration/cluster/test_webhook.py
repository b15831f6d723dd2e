# SPDX-License-Identifier: GPL-3.0-or-later
"""An admission webhook that is away for some seconds, or refuses, while a run's objects come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic

from ...support.cluster_playbook import Tasks
from ...support.sandbox import Running
from ...support.stage import crd, patiently, remove_crd
from ...support.waiting import until
from ...support.webhook import Webhook

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(240)]

GROUP = "guarded.example.com"
NAME = "guarded"
NO = "the freeze is on"
AWAY_SECONDS = 6.0


class Guarded:
    """A kind that the webhook guards, and a run that has one object of it."""

    def __init__(self, sandbox: Running, folder: Path) -> None:
        self._tasks: Callable[[], Tasks] = lambda: Tasks(sandbox, folder)
        self._record = str(folder / "record.json")
        self._api = config.new_client_from_config(str(sandbox.kubeconfig), sandbox.context)
        self._crds = client.ApiextensionsV1Api(self._api)
        self._guards = client.AdmissionregistrationV1Api(self._api)
        self.webhook = Webhook(folder)

    def set_up(self) -> None:
        kind = crd("Guarded", "guardeds", "v1")
        kind["metadata"], kind["spec"]["group"] = {"name": f"guardeds.{GROUP}"}, GROUP
        self._crds.create_custom_resource_definition(kind)
        patiently(self.there)
        guard = self.webhook.configuration(NAME, GROUP, "guardeds")
        self._guards.create_validating_webhook_configuration(guard)
        # The API server learns of it when it has come by; what it is asked of in between is not guarded.
        self.webhook.refusal = NO
        until(lambda: not self._let_through(), 40, "the API server asks the webhook")
        self.webhook.refusal = ""

    def _let_through(self) -> bool:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Guarded", "metadata": {"name": "probe"}}
        try:
            self._kind().create(body, namespace="default", dry_run="All")
        except client.exceptions.ApiException:
            return False
        return True

    def tear_down(self) -> None:
        self._guards.delete_validating_webhook_configuration(NAME)
        remove_crd(self._api, f"guardeds.{GROUP}")
        self.webhook.go()

    def _kind(self) -> Any:
        return dynamic.DynamicClient(self._api).resources.get(api_version=f"{GROUP}/v1", kind="Guarded")

    def there(self) -> list[str]:
        return [each.metadata.name for each in self._kind().get(namespace="default").items]

    def run(self, state: str, **more: Any) -> dict[str, Any]:
        asked = {"state": state, "run_id": "r1", "record": self._record, "timeout": 60, **more}
        return self._tasks().run({"iter8.kfserving.ownership": asked})

    def up(self) -> dict[str, Any]:
        metadata = {"name": "one", "namespace": "default"}
        return self.run(
            "present", definitions=[{"apiVersion": f"{GROUP}/v1", "kind": "Guarded", "metadata": metadata}]
        )

    @contextmanager
    def away_for_a_while(self) -> Iterator[None]:
        """It goes at the beginning of this, and has come back and been asked by its end."""
        self.webhook.go()
        back = threading.Timer(AWAY_SECONDS, self.webhook.come)
        back.start()
        began = len(self.webhook.asked)
        try:
            yield
            assert len(self.webhook.asked) > began
        finally:
            back.join()


@pytest.fixture
def guarded(sandbox: Running, tmp_path: Path) -> Iterator[Guarded]:
    found = Guarded(sandbox, tmp_path)
    found.set_up()
    yield found
    found.tear_down()


def test_one_that_is_away_is_waited_for_when_objects_come_and_when_they_go(guarded: Guarded) -> None:
    with guarded.away_for_a_while():
        assert guarded.up()["failed"] is False
    assert guarded.there() == ["one"]
    with guarded.away_for_a_while():
        assert guarded.run("absent")["failed"] is False
    assert guarded.there() == []
    assert guarded.webhook.asked[-1] == "DELETE"


def test_one_that_refuses_is_told_in_its_own_words_and_nothing_is_forgotten(guarded: Guarded) -> None:
    guarded.webhook.refusal = NO
    refused = guarded.up()
    assert refused["failed"] is True
    assert NO in refused["msg"]
    guarded.webhook.refusal = ""
    assert guarded.up()["failed"] is False
    guarded.webhook.refusal = NO
    refused = guarded.run("absent")
    assert refused["failed"] is True
    assert NO in refused["msg"]
    assert guarded.there() == ["one"]
    guarded.webhook.refusal = ""
    assert guarded.run("absent")["failed"] is False
    assert guarded.there() == []
