# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a load from pods: what they may do, where what is, and what does not fit."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from dataclasses import replace

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.objects import (
    MOST_BYTES,
    Wanted,
    definitions,
    fingerprint_of,
    job_name,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.package import zipped
from hypothesis import given
from hypothesis import strategies as st

WANTED = Wanted(
    name="mine",
    namespace="load",
    count=3,
    image="python:3",
    engine=b"PK",
    described={"options": {"headers": [["Authorization", "s3cret"]]}, "parts": 3},
    lifetime=100.0,
    longest_request=10.0,
)


@given(st.text("abzABZ019._-", min_size=1, max_size=63), st.text("abzABZ019._-", min_size=1, max_size=63))
def test_names_are_kubernetes_own_and_tell_loads_apart(one: str, other: str) -> None:
    name = job_name(one)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    # With a dash and the index of one of a thousand pods it is a host's name.
    assert len(f"{name}-999") <= 63
    assert (name == job_name(other)) == (one == other)


def test_a_simple_name_stays_as_it_is() -> None:
    assert job_name("quickstart") == "load-quickstart"


def test_secrets_are_in_the_secret_alone() -> None:
    configmap, secret, job = definitions(WANTED)
    assert "s3cret" not in json.dumps([configmap, job])
    described = json.loads(gzip.decompress(base64.b64decode(secret["data"]["options"])))
    assert described == WANTED.described
    assert (configmap["immutable"], secret["immutable"]) == (True, True)


def test_no_retry_hides_a_loss() -> None:
    spec = definitions(WANTED)[2]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimitPerIndex"] == 0
    assert {"podFailurePolicy", "backoffLimit", "ttlSecondsAfterFinished"} & set(spec) == set()
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > WANTED.lifetime


def test_pods_have_no_rights_and_are_spread() -> None:
    pod = definitions(WANTED)[2]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    # As the restricted Pod Security Standard asks.
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    labels = definitions(WANTED)[2]["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    assert pod["terminationGracePeriodSeconds"] > WANTED.longest_request


def test_the_same_load_has_the_same_fingerprint_and_another_another() -> None:
    first = fingerprint_of(definitions(WANTED)[1])
    assert first == fingerprint_of(definitions(replace(WANTED))[1])
    others = (
        replace(WANTED, count=2),
        replace(WANTED, image="python:4"),
        replace(WANTED, engine=b"PK2"),
        replace(WANTED, described={"parts": 3}),
    )
    assert len({fingerprint_of(definitions(each)[1]) for each in others} | {first}) == 5
    assert fingerprint_of({}) == ""


def test_what_does_not_fit_is_refused() -> None:
    much = {"payload": base64.b64encode(os.urandom(MOST_BYTES)).decode()}
    with pytest.raises(ClusterError, match="The payloads and options of the load, compressed, have"):
        definitions(replace(WANTED, described=much))


def test_the_engine_fits_with_room_to_spare() -> None:
    assert len(zipped(http2_too=True)) < MOST_BYTES / 2
    assert zipped() == zipped()
