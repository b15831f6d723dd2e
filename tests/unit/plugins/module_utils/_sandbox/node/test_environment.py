# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, Mapping, Optional

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import environment
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.environment import ConfigError

POD: dict[str, Any] = {
    "metadata": {
        "name": "p-0",
        "namespace": "n",
        "uid": "u",
        "labels": {"app.kubernetes.io/name": "web", "a": 'say "hi"'},
        "annotations": {"note": "x"},
    },
    "spec": {"nodeName": "sandbox", "serviceAccountName": "sa"},
}
DATA: dict[tuple[str, str], Mapping[str, str]] = {
    ("ConfigMap", "c"): {"k": "from map", "j": "2"},
    ("Secret", "s"): {"k": "hidden"},
}


def lookup(kind: str, name: str) -> Optional[Mapping[str, str]]:
    return DATA.get((kind, name))


def compose(**container: Any) -> dict[str, str]:
    return environment.compose(
        POD, {"name": "c", **container}, {"BASE": "b"}, ("127.1.1.1", "127.1.0.1"), lookup
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$", "$"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(IN)", "$(A)"),
    ],
)
def test_expand(text: str, value: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2", "IN": "$(A)"}) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p-0"),
        ("metadata.namespace", "n"),
        ("metadata.uid", "u"),
        ("metadata.labels['app.kubernetes.io/name']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['note']", "x"),
        ("metadata.labels", 'a="say \\"hi\\""\napp.kubernetes.io/name="web"'),
        ("spec.nodeName", "sandbox"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "127.1.1.1"),
        ("status.hostIP", "127.1.0.1"),
    ],
)
def test_field_reference(path: str, value: str) -> None:
    assert compose(env=[{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}])["V"] == value


def test_later_values_see_earlier_ones_and_win() -> None:
    env = compose(
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
        env=[
            {"name": "j", "value": "$(P_j)+$(BASE)+$(later)"},
            {"name": "later", "value": "x"},
            {"name": "k"},
        ],
    )
    assert env == {
        "BASE": "b",
        "P_k": "from map",
        "P_j": "2",
        "k": "",
        "j": "2+b+$(later)",
        "later": "x",
    }


def test_what_a_reference_gives_is_not_expanded() -> None:
    DATA["ConfigMap", "dollar"] = {"k": "$(BASE)"}
    assert compose(env=[key_ref("dollar", "k")])["V"] == "$(BASE)"


def key_ref(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": "V", "valueFrom": {"configMapKeyRef": {"name": name, "key": key, **more}}}


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"env": [key_ref("none", "k")]}, 'configmap "none" not found'),
        ({"env": [key_ref("c", "none")]}, "couldn't find key none in ConfigMap c"),
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
        ({"env": [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}, "spec.x"),
        ({"env": [{"name": "V", "valueFrom": {"resourceFieldRef": {}}}]}, "resourceFieldRef"),
    ],
)
def test_what_cannot_be_configured(container: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        compose(**container)


def test_optional_references_may_lead_nowhere() -> None:
    nowhere = {"configMapRef": {"name": "none", "optional": True}}
    env = compose(
        env=[key_ref("none", "k", optional=True), key_ref("c", "none", optional=True)], envFrom=[nowhere]
    )
    assert env == {"BASE": "b"}


def test_command_line() -> None:
    container = {"name": "c", "command": ["run", "$(A)"], "args": ["--x=$(B)", "$$(A)"]}
    assert environment.command_line(container, {"A": "1", "B": "2"}) == ["run", "1", "--x=2", "$(A)"]
    with pytest.raises(ConfigError, match="set the container's command"):
        environment.command_line({"name": "c", "args": ["x"]}, {})


def test_volume_variable() -> None:
    assert environment.volume_variable("my-vol.v1") == "VOLUME_MY_VOL_V1"
