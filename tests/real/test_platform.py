# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `platform`, which has installed KServe, Knative Serving and Traefik on the node: with their
controllers and webhooks at work a second run changes nothing, and what it has made goes without a trace,
while all else stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from ansible_collections.iter8.kfserving.tests.support.upstream import foreign_objects

from .cluster import Cluster
from .node.namespaces import NodeError
from .node.node import Node
from .rollout import Json
from .stack.install import Installer

# Objects that come and go by themselves, and those that only say that somebody is alive.
_FLEETING = re.compile(r"^(events|leases|pods|endpoints|endpointslices|componentstatuses|tokenreviews)(\.|$)")
_THEIRS = foreign_objects("knative-serving")


@pytest.fixture
def installer(node: Node) -> Iterator[Installer]:
    """Whatever becomes of the platform here, the tests after this one have it."""
    cluster = Cluster(print)
    yield cluster.installer()
    node.kubectl("delete", "--ignore-not-found", "--filename", "-", stdin=_text(_THEIRS))
    cluster.where.installed.unlink(missing_ok=True)
    cluster.up()


def _text(documents: list[Json]) -> str:
    return "\n".join(map(json.dumps, documents))


def _objects(node: Node) -> dict[str, tuple[str, str]]:
    """UID and content, by type, namespace and name, of all that is on the cluster; what controllers count and
    note aside."""
    listed = node.kubectl("api-resources", "--verbs=list", "--output=name").split()
    types = [each for each in listed if not _FLEETING.match(each)]
    found = {}
    for each in json.loads(node.kubectl("get", ",".join(types), "--all-namespaces", "--output=json"))[
        "items"
    ]:
        metadata = each["metadata"]
        aside = {"metadata", "status", *(["rules"] if "aggregationRule" in each else [])}
        content = {name: value for name, value in each.items() if name not in aside}
        kept = {name: metadata.get(name) for name in ("labels", "annotations", "ownerReferences")}
        found[_key(each)] = (metadata["uid"], json.dumps([content, kept], sort_keys=True))
    return found


def _key(obj: Json) -> str:
    """Of an object, or of one on record."""
    metadata = obj.get("metadata", obj)
    version = obj.get("apiVersion") or obj["api_version"]
    return f"{version} {obj['kind']} {metadata.get('namespace') or ''}/{metadata['name']}"


def _record(installer: Installer) -> list[Json]:
    objects: list[Json] = json.loads(installer.record.read_text(encoding="utf-8"))["objects"]
    return objects


def _changed(printed: str) -> str:
    return str(re.findall(r"changed=(\d+)", printed)[-1])


def test_what_is_installed_stays_as_it_is_and_goes_without_a_trace(
    node: Node, installer: Installer, capfd: pytest.CaptureFixture[str]
) -> None:
    node.kubectl("create", "--filename", "-", stdin=_text(_THEIRS))
    before = _objects(node)
    for arguments in (("--check", "--diff"), ()):
        installer.install(*arguments)
        assert _changed(capfd.readouterr().out) == "0", arguments
    assert _objects(node) == before

    # Another's object within a namespace of the run's: nothing goes, and the message names it.
    with pytest.raises(NodeError, match="teardown.yml ended with 2"):
        installer.remove()
    assert "objects that it did not: ConfigMap knative-serving/theirs." in " ".join(
        capfd.readouterr().out.split()
    )
    assert _objects(node) == before
    node.kubectl("delete", "configmap", "theirs", "--namespace", "knative-serving")
    before.pop("v1 ConfigMap knative-serving/theirs")

    installer.remove("--check", "--diff")
    assert _changed(capfd.readouterr().out) != "0"
    assert _objects(node) == before

    created = [each for each in _record(installer) if not each["existed"]]
    assert {each["kind"] for each in created} > {"CustomResourceDefinition", "Namespace", "Deployment"}
    # From another machine: only the cluster knows the run.
    installer.record.unlink()
    installer.remove()
    left = _objects(node)
    assert {key: before.get(key) for key in left} == left
    assert {_key(each) for each in created} & set(left) == set()
    assert {key for key in left if re.search("knative|kserve|traefik|gateway", key, re.IGNORECASE)} == set()
    assert {_key(each) for each in _THEIRS if each["kind"] != "ConfigMap"} <= set(left)
