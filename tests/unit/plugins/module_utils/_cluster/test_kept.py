# SPDX-License-Identifier: GPL-3.0-or-later
"""The last state of a rollout's objects: what is kept, and what a cluster that does not answer leaves."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster import kept
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Unreachable,
)
from ansible_collections.iter8.kfserving.tests.support.cluster import Cluster, no_such_path, obj

MODEL = {"api_version": "v1", "kind": "ConfigMap", "name": "m"}
OTHER = {"api_version": "iter8.tools/v2alpha1", "kind": "Experiment", "name": "e"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster([Resource("v1", "ConfigMap", "configmaps", True)])
    cluster.put(obj("ConfigMap", "m", "default"))
    monkeypatch.setattr(kept, "connect", lambda _module: cluster)
    return cluster


def look(dest: Path | None, *, check_mode: bool = False) -> dict[str, Any]:
    params = {"namespace": "default", "objects": [MODEL, OTHER], "dest": str(dest) if dest else None}
    return kept.rollout_objects(SimpleNamespace(params=params, check_mode=check_mode))


def unreachable(*_given: Any, **_named: Any) -> Any:
    raise Unreachable("It does not answer.")


@pytest.mark.usefixtures("cluster")
def test_what_is_there_is_kept_and_what_is_not_is_empty(tmp_path: Path) -> None:
    result = look(tmp_path)
    assert [each["metadata"]["name"] for each in result["resources"]] == ["m"]
    assert (result["changed"], "warnings" in result) == (True, False)
    assert json.loads((tmp_path / "configmap.json").read_text()) == result["resources"][0]
    assert json.loads((tmp_path / "experiment.json").read_text()) == {}
    assert (tmp_path / "configmap.json").stat().st_mode & 0o777 == 0o644
    assert look(tmp_path)["changed"] is False


def test_one_that_is_gone_is_empty(cluster: Cluster, tmp_path: Path) -> None:
    cluster.remove(obj("ConfigMap", "m", "default"))
    assert look(tmp_path)["resources"] == []
    assert json.loads((tmp_path / "configmap.json").read_text()) == {}


def test_only_what_is_certain_is_absent(cluster: Cluster) -> None:
    """An API server that starts answers 404 for all that it does not serve yet."""
    cluster.get_faults[cluster.path(obj("ConfigMap", "m", "default"))] = [no_such_path()]
    with pytest.raises(ClusterError, match="ConfigMap default/m could not be read: 404 page not found"):
        look(None)


@pytest.mark.usefixtures("cluster")
def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert look(tmp_path, check_mode=True)["changed"] is True
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("silent", ["connect", "get"])
def test_a_cluster_that_does_not_answer_is_a_warning_beside_the_evidence(
    silent: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept if silent == "connect" else cluster, silent, unreachable)
    result = look(tmp_path)
    assert result["resources"] == []
    assert "It does not answer." in " ".join(result["warnings"])
    assert json.loads((tmp_path / "configmap.json").read_text()) == {}


def test_where_nothing_is_kept_it_is_an_error(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "get", unreachable)
    with pytest.raises(ClusterError, match=r"ConfigMap default/m could not be read: It does not answer\."):
        look(None)


@pytest.mark.usefixtures("cluster")
def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"configmap\.json cannot be written: No such file or directory\."):
        look(tmp_path / "missing")
    (tmp_path / "configmap.json/mine").mkdir(parents=True)
    with pytest.raises(ClusterError, match="configmap.json cannot be written"):
        look(tmp_path)
