# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to manifests before they are applied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.edits import (
    edited,
    images,
    renamed,
    with_images,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.ours import ours, without_filled_in


@pytest.mark.parametrize(
    ("image", "becomes"),
    [
        ("gcr.io/kfserving/agent:v0.5.0", "mine/agent:v0.5.0"),
        ("gcr.io/kfserving/controller:v0.5.0", "other/controller:x"),
        ("kserve/agent:v1", "mirror/kserve/agent:v1"),
        ("kserve/agent-two:v1", "kserve/agent-two:v1"),
        ("busybox", "mirror/busybox"),
        ("busybox:1", "mirror/busybox:1"),
        ("busybox@sha256:a", "mirror/busybox@sha256:a"),
        ("busyboxes:1", "busyboxes:1"),
    ],
)
def test_the_longest_name_that_fits_counts(image: str, becomes: str) -> None:
    names = {
        "gcr.io/kfserving/": "mine/",
        "gcr.io/kfserving/controller:v0.5.0": "other/controller:x",
        "kserve/agent": "mirror/kserve/agent",
        "busybox": "mirror/busybox",
    }
    assert renamed(image, names) == becomes


def test_images_are_renamed_wherever_manifests_have_them() -> None:
    container = {"name": "c", "image": "a/b:1", "env": [{"name": "QUEUE_IMAGE", "value": "a/q:1"}]}
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}}
    runtime = {"kind": "ClusterServingRuntime", "spec": {"containers": [{"image": "a/r:1"}]}}
    settings = {
        "kind": "ConfigMap",
        "data": {
            "logger": '{"image" : "a/l:1", "defaultImageVersion": "a/l:1"}',
            "queue-sidecar-image": "a/q@sha256:00",
            "note": "a/l:1",
        },
    }
    found: list[Any] = with_images([deployment, runtime, settings], {"a/": "m/"})
    assert found[0]["spec"]["template"]["spec"]["containers"][0] == {
        "name": "c",
        "image": "m/b:1",
        "env": [{"name": "QUEUE_IMAGE", "value": "m/q:1"}],
    }
    assert found[2]["data"] == {
        "logger": '{"image" : "m/l:1", "defaultImageVersion": "a/l:1"}',
        "queue-sidecar-image": "m/q@sha256:00",
        "note": "a/l:1",
    }
    assert images(found) == ["m/b:1", "m/r:1"]


B = {"name": "b.c", "rules": [2]}


def config(**data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def test_edits_go_into_objects_and_into_their_json() -> None:
    before = config(ingress='{"a": 1, "b": {"c": 2}}')
    edit = {
        "kind": "ConfigMap",
        "name": "c",
        "merge": {"data": {"x": "y"}},
        "json": {"ingress": {"b": {"d": 3}}},
    }
    (after,), problems = edited([before], [edit])
    assert problems == []
    assert after["data"]["x"] == "y"
    assert json.loads(after["data"]["ingress"]) == {"a": 1, "b": {"c": 2, "d": 3}}
    assert before == config(ingress='{"a": 1, "b": {"c": 2}}')


def test_an_edits_null_takes_away_what_is_there() -> None:
    before = config(ingress='{"a": 1, "b": {"c": 2, "d": 3}}', logger="x")
    edit = {
        "kind": "ConfigMap",
        "name": "c",
        "merge": {"data": {"logger": None, "none": None}, "status": None},
        "json": {"ingress": {"b": {"c": None}}},
    }
    (after,), problems = edited([before], [edit])
    assert problems == []
    assert set(after["data"]) == {"ingress"}
    assert json.loads(after["data"]["ingress"]) == {"a": 1, "b": {"d": 3}}


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ([], "hold no ConfigMap c"),
        ([config()], "its data has no ingress"),
        ([config(ingress="[")], "is no JSON"),
        ([config(ingress="[]")], "is no JSON object"),
    ],
)
def test_an_edit_that_changes_nothing_is_wrong(objects: list[dict[str, Any]], words: str) -> None:
    edit = {"kind": "ConfigMap", "name": "c", "json": {"ingress": {"a": 1}}}
    _changed, problems = edited(objects, [edit])
    assert len(problems) == 1
    assert words in problems[0]


def test_places_that_controllers_fill_in_are_not_applied() -> None:
    webhook = {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "w", "creationTimestamp": None},
        "webhooks": [{"name": "a", "clientConfig": {"caBundle": "Cg==", "service": {"name": "s"}}}],
    }
    role = {"kind": "ClusterRole", "metadata": {"name": "r"}, "aggregationRule": {"x": 1}, "rules": []}
    conversion = {"webhook": {"clientConfig": {"caBundle": "\n", "service": {}}}}
    crd = {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "d"},
        "spec": {"conversion": conversion},
        "status": {"storedVersions": []},
    }
    first, second, third = ours([webhook, role, crd])
    assert first["webhooks"] == [{"name": "a", "clientConfig": {"service": {"name": "s"}}}]
    assert first["metadata"] == {"name": "w"}
    assert "rules" not in second
    assert third["spec"] == {"conversion": {"webhook": {"clientConfig": {"service": {}}}}}
    assert "status" not in third


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        (['.webhooks[name="a"].rules'], [{"name": "a", "clientConfig": {"caBundle": "x", "service": {}}}, B]),
        (
            ['.webhooks[name="a"].clientConfig.caBundle'],
            [{"name": "a", "rules": [1], "clientConfig": {"service": {}}}, B],
        ),
        (
            ['.webhooks[name="a"].rules', '.webhooks[name="b.c"].rules'],
            [{"name": "a", "clientConfig": {"caBundle": "x", "service": {}}}, {"name": "b.c"}],
        ),
        ([".metadata.labels.a"], None),
        (['.webhooks[name="a"].rules', ".metadata.labels.a"], None),
        (['.webhooks[name="a"].clientConfig.service.port.number'], None),
        (['.webhooks[name="other"].rules'], None),
        ([".webhooks"], None),
    ],
)
def test_what_a_webhooks_program_has_filled_in_is_taken_out_and_nothing_else(
    fields: list[str], left: Any
) -> None:
    hook = {"name": "a", "rules": [1], "clientConfig": {"caBundle": "x", "service": {}}}
    configuration = {"metadata": {"name": "w"}, "webhooks": [hook, B]}
    found = without_filled_in(configuration, fields)
    assert (found and found["webhooks"]) == left
    assert configuration["webhooks"] == [hook, B]
    assert set(hook) == {"name", "rules", "clientConfig"}


def test_a_ca_that_is_there_and_rules_that_are_there_stay() -> None:
    webhook = {
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "w"},
        "webhooks": [{"clientConfig": {"caBundle": "LS0t"}}],
    }
    role = {"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [{"verbs": ["get"]}]}
    assert ours([webhook, role]) == [webhook, role]


def test_ports_say_their_protocol() -> None:
    service = {"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}}
    udp = {"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1, "protocol": "UDP"}]}}
    found = ours([service, udp])
    assert [each["spec"]["ports"][0]["protocol"] for each in found] == ["TCP", "UDP"]
    assert "protocol" not in service["spec"]["ports"][0]  # type: ignore[operator]
