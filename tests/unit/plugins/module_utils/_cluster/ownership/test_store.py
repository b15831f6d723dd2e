# SPDX-License-Identifier: GPL-3.0-or-later
"""The record's two copies: a run is removed from whichever machine has one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    Conflict,
    Forbidden,
    NotFound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import (
    ClaimedObject,
    Record,
    merged,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.store import RecordStore
from ansible_collections.iter8.kfserving.tests.support.cluster import Cluster, obj
from ansible_collections.iter8.kfserving.tests.support.ownership import RUN, Run, refs

COPY = f"/api/v1/namespaces/default/configmaps/{RecordStore('/nonexistent/r', 'default', RUN).name}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(Cluster(), tmp_path / "record.json", monkeypatch)


def copied(**more: Any) -> dict[str, Any]:
    return {"record_namespace": "default", **more}


def present(run: Run, *objects: dict[str, Any]) -> dict[str, Any]:
    return run("present", **copied(definitions=[*objects]))


def test_the_copy_says_what_the_file_says_and_goes_with_the_run(run: Run) -> None:
    present(run, obj("Namespace", "mine"))
    copy = run.cluster.objects[COPY]
    assert json.loads(copy["data"]["record.json"]) == json.loads(run.record.read_text())
    assert copy["metadata"]["labels"]["iter8.kfserving/run-id"] == RUN
    assert refs(run("absent", **copied())["deleted"]) == ["Namespace mine"]
    assert COPY not in run.cluster.objects


def test_a_run_is_removed_from_another_machine(run: Run) -> None:
    present(run, obj("Namespace", "mine"), obj("ConfigMap", "c", "mine"))
    run.record.unlink()
    run.cluster.put(obj("ConfigMap", "theirs", "default"))
    planned = run("absent", check_mode=True, **copied())
    assert COPY in run.cluster.objects
    gone = run("absent", **copied())
    assert (
        sorted(refs(gone["deleted"])) == sorted(refs(planned["deleted"])) == ["ConfigMap c", "Namespace mine"]
    )
    assert run.cluster.names() == ["ConfigMap theirs"]


def test_a_run_that_is_on_record_nowhere_names_those_that_are(run: Run) -> None:
    present(run, obj("Namespace", "mine"))
    run.record.unlink()
    result = run("absent", **copied(run_id="another"))
    assert (result["changed"], result["runs"]) == (False, [RUN])
    assert "Namespace mine" in run.cluster.names()


def test_rollouts_of_a_list_that_another_machine_has_on_record_are_told(run: Run) -> None:
    for name in (RUN, f"{RUN}.one", f"{RUN}0", "another"):
        run.record.unlink(missing_ok=True)
        run("present", **copied(run_id=name, definitions=[obj("Namespace", name.replace(".", "-"))]))
    run.record.unlink()
    assert run("absent", check_mode=True, **copied())["runs"] == [f"{RUN}.one"]
    gone = run("absent", **copied())
    assert (refs(gone["deleted"]), gone["runs"]) == ([f"Namespace {RUN}"], [f"{RUN}.one"])


def test_what_is_left_stays_on_both_records(run: Run) -> None:
    present(run, obj("ConfigMap", "c", "default"))
    run.cluster.objects["/api/v1/namespaces/default/configmaps/c"]["metadata"].pop("labels")
    with pytest.raises(Exception, match="It stays on record"):
        run("absent", **copied())
    assert "record.json" in run.cluster.objects[COPY]["data"]


def test_a_copy_that_somebody_has_edited_stays_the_runs_own(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    present(run, obj("Namespace", "mine"))
    edited = Conflict("409")
    edited.fields = ((".data.record\\.json", "kubectl-edit"),)
    run.cluster.faults[COPY] = [edited] * 2
    merged_in: list[dict[str, Any]] = []
    monkeypatch.setattr(run.cluster, "merge", lambda _path, patch: merged_in.append(patch), raising=False)
    present(run, obj("ConfigMap", "c", "mine"))
    assert [json.loads(each["data"]["record.json"])["objects"][-1]["name"] for each in merged_in] == ["c"] * 2
    run.cluster.faults[COPY] = [Conflict("another conflict")]
    with pytest.raises(Conflict, match="another"):
        present(run, obj("ConfigMap", "d", "mine"))


def test_without_the_right_to_write_it_the_run_goes_on_and_is_warned(run: Run) -> None:
    run.cluster.faults[COPY] = [Forbidden("configmaps is forbidden")] * 9
    result = present(run, obj("Namespace", "mine"))
    assert result["changed"] is True
    assert "this machine alone can remove the run: configmaps is forbidden" in result["warnings"][0]
    assert refs(run("absent", **copied())["deleted"]) == ["Namespace mine"]


def test_a_namespace_that_is_not_there_is_warned_of(run: Run) -> None:
    run.cluster.faults[COPY] = [NotFound("no such namespace")] * 9
    assert "no such namespace" in present(run, obj("Namespace", "mine"))["warnings"][0]


def entry(name: str, uid: str = "") -> ClaimedObject:
    return ClaimedObject("v1", "ConfigMap", "n", name, existed=False, uid=uid)


def test_two_copies_make_one_record() -> None:
    here = Record(RUN, [entry("a", "1"), entry("b"), entry("c", "3")], "k")
    there = Record(RUN, [entry("a"), entry("b", "2"), entry("d", "4")])
    both = merged(here, there)
    assert both is not None
    assert {(each.name, each.uid) for each in both.entries} == {
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("d", "4"),
    }
    assert both.cluster == "k"
    assert merged(here, None) is here
    assert merged(None, there) is there
