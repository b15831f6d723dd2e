# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run owns: nothing that was there, nothing that it did not make, and all of what it made goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Resource
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    BadRequest,
    ClusterError,
    Forbidden,
    MethodNotAllowed,
    Refusal,
    UnknownKind,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership import held, removal
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.claims import (
    claim,
    record_uids,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.contents import foreign
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import (
    LABEL,
    ClaimedObject,
    Record,
    load,
    require_run_id,
)
from ansible_collections.iter8.kfserving.tests.support import cluster as memory
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from ansible_collections.iter8.kfserving.tests.support.cluster import AWAY, BUILT_IN, CUSTOM, crd, obj
from ansible_collections.iter8.kfserving.tests.support.ownership import RUN, Run, refs


@pytest.fixture
def cluster() -> Any:
    return memory.Cluster()


@pytest.fixture
def run(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(cluster, tmp_path / "state" / "record.json", monkeypatch)


# Jobs that iter8 makes for an Experiment


def _rolled_out(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run with an Experiment in a cluster that has iter8, and the Experiment as it is there."""
    run.cluster.put(obj("Namespace", "iter8-system"), obj("Namespace", "ns"))
    experiment = obj("Experiment", "e", "ns")
    run.apply(experiment)
    path = "/apis/iter8.tools/v2alpha1/namespaces/ns/experiments/e"
    there: dict[str, Any] = run.cluster.get(path)
    return experiment, there


def _job(run: Run, experiment: dict[str, Any], handler: str = "start") -> str:
    segment = experiment["metadata"]["uid"].rpartition("-")[2]
    name = f"{handler}-handler-{experiment['metadata']['name']}-{segment}"
    run.cluster.put(obj("Job", name, "iter8-system"))
    return name


def _jobs(run: Run) -> list[str]:
    listed = run.cluster.get("/apis/batch/v1/namespaces/iter8-system/jobs")["items"]
    return [each["metadata"]["name"] for each in listed]


def test_the_jobs_of_its_experiments_go_with_them_and_no_others(run: Run) -> None:
    _unused, there = _rolled_out(run)
    names = [_job(run, there), _job(run, there, "finish")]
    another = {"metadata": {"name": "e", "uid": "0-0-0-0-another"}}
    theirs = _job(run, another)
    foreseen = run("absent", check_mode=True)
    assert refs(foreseen["deleted"])[0] == "Experiment e"
    assert set(refs(foreseen["deleted"])[1:]) == {f"Job {name}" for name in names}
    assert refs(run("absent")["deleted"]) == refs(foreseen["deleted"])
    assert _jobs(run) == [theirs]


def test_a_removal_that_was_killed_after_the_experiment_went_still_finds_its_jobs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _unused, there = _rolled_out(run)
    name = _job(run, there)
    real = run.cluster.delete

    def killed_at_the_job(path: str, options: dict[str, Any]) -> Any:
        if path.endswith(f"/jobs/{name}"):
            raise KeyboardInterrupt
        return real(path, options)

    monkeypatch.setattr(run.cluster, "delete", killed_at_the_job)
    with pytest.raises(KeyboardInterrupt):
        run("absent")
    monkeypatch.setattr(run.cluster, "delete", real)
    assert [entry.name for entry in run.recorded()] == [name]
    assert refs(run("absent")["deleted"]) == [f"Job {name}"]
    assert _jobs(run) == []


def test_a_job_that_is_made_while_its_experiment_goes_goes_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _unused, there = _rolled_out(run)
    real = run.cluster.delete

    def launched_meanwhile(path: str, options: dict[str, Any]) -> Any:
        if path.endswith("/experiments/e"):
            _job(run, there, "finish")
        return real(path, options)

    monkeypatch.setattr(run.cluster, "delete", launched_meanwhile)
    assert len(run("absent")["deleted"]) == 2
    assert _jobs(run) == []


def test_jobs_that_may_not_be_listed_are_told_as_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _rolled_out(run)
    real = run.cluster.get

    def refused(path: str, *given: Any, **options: Any) -> Any:
        if path.endswith("/jobs"):
            raise Forbidden("jobs is forbidden")
        return real(path, *given, **options)

    monkeypatch.setattr(run.cluster, "get", refused)
    gone = run("absent")
    assert refs(gone["deleted"]) == ["Experiment e"]
    assert refs(gone["kept"]) == ["Job *-handler-e-*"]
    assert "may not be listed" in gone["kept"][0]["reason"]


# Claiming


def test_only_what_the_run_creates_is_labelled(run: Run) -> None:
    there = obj("Namespace", "monitoring", labels={"team": "ops"})
    run.cluster.put(there)
    claimed = run("claimed", definitions=[there, obj("Namespace", "mine", labels={"team": "ml"})])
    assert refs(claimed["existed"]) == ["Namespace monitoring"]
    assert refs(claimed["created"]) == ["Namespace mine"]
    assert claimed["definitions"][0] == there
    assert claimed["definitions"][1]["metadata"]["labels"] == {"team": "ml", LABEL: RUN}


def test_a_claim_is_on_record_before_anything_is_applied(run: Run) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    content = json.loads(run.record.read_text())
    assert content["run_id"] == RUN
    assert content["objects"] == [
        {
            "api_version": "v1",
            "kind": "Namespace",
            "namespace": "",
            "name": "mine",
            "existed": False,
            "uid": "",
        }
    ]


def test_a_second_claim_of_the_same_changes_nothing(run: Run) -> None:
    definitions = [obj("Namespace", "mine"), obj("ConfigMap", "c", "mine")]
    run.apply(*definitions)
    run("recorded")
    again = run("claimed", definitions=definitions)
    assert again["changed"] is False
    assert refs(again["created"]) == ["Namespace mine", "ConfigMap c"]
    assert all(each["metadata"]["labels"] == {LABEL: RUN} for each in again["definitions"])


def test_an_object_made_by_someone_else_since_then_is_not_ours(run: Run) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    run.cluster.put(obj("Namespace", "mine"))
    claimed = run("claimed", definitions=[obj("Namespace", "mine")])
    assert refs(claimed["existed"]) == ["Namespace mine"]
    assert LABEL not in claimed["definitions"][0]["metadata"].get("labels", {})


def test_kinds_whose_crd_comes_in_the_same_batch_do_not_exist_yet() -> None:
    cluster = memory.Cluster(BUILT_IN)
    record = Record(RUN)
    claims = claim(
        cluster, record, [crd(CUSTOM[0]), obj("Experiment", "e")], namespace="default", check_mode=False
    )
    assert [one.entry.existed for one in claims] == [False, False]
    assert claims[1].definition["metadata"]["namespace"] == "default"


def test_a_kind_that_nobody_announces_is_an_error_except_in_check_mode() -> None:
    cluster = memory.Cluster(BUILT_IN)
    with pytest.raises(UnknownKind):
        claim(cluster, Record(RUN), [obj("Experiment", "e", "ns")], None, check_mode=False)
    claims = claim(cluster, Record(RUN), [obj("Experiment", "e", "ns")], None, check_mode=True)
    assert claims[0].entry.namespace == "ns"


def test_lists_are_opened_and_empty_documents_passed_over(cluster: Any) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [obj("Namespace", "a"), obj("Namespace", "b")]}
    claims = claim(cluster, Record(RUN), [None, listed], None, check_mode=False)
    assert [one.entry.name for one in claims] == ["a", "b"]


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("text", "is no Kubernetes object"),
        ({"kind": "Namespace", "metadata": {"name": "a"}}, "lacks apiVersion or kind"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}, "no metadata.name"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, "names no namespace"),
    ],
)
def test_definitions_that_cannot_be_owned(cluster: Any, definition: Any, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        claim(cluster, Record(RUN), [definition], None, check_mode=False)


def test_check_mode_claims_without_a_record(run: Run) -> None:
    claimed = run("claimed", check_mode=True, definitions=[obj("Namespace", "mine")])
    assert claimed["changed"] is True
    assert not run.record.exists()


# Recording


def test_uids_are_recorded_of_what_carries_the_label(run: Run) -> None:
    run("claimed", definitions=[obj("Namespace", "mine"), obj("Namespace", "lost"), obj("Namespace", "bare")])
    run.cluster.put(obj("Namespace", "mine", labels={LABEL: RUN}), obj("Namespace", "bare"))
    recorded = run("recorded")
    assert refs(recorded["created"]) == ["Namespace mine"]
    assert refs(recorded["missing"]) == ["Namespace lost", "Namespace bare"]
    loaded = load(str(run.record), RUN)
    assert loaded is not None
    assert [entry.uid for entry in loaded.entries] == ["uid-1", "", ""]


def test_recording_without_a_claim_is_an_error(run: Run) -> None:
    with pytest.raises(ClusterError, match="state=claimed"):
        run("recorded")


# Deleting


def test_what_the_run_made_goes_and_what_was_there_stays(run: Run) -> None:
    run.cluster.put(obj("Namespace", "monitoring"), obj("ConfigMap", "theirs", "monitoring"))
    run.apply(
        obj("Namespace", "monitoring"), obj("Namespace", "mine"), obj("ConfigMap", "ours", "monitoring")
    )
    run("recorded")
    gone = run("absent")
    assert refs(gone["deleted"]) == ["ConfigMap ours", "Namespace mine"]
    assert gone["kept"] == [
        {
            "api_version": "v1",
            "kind": "Namespace",
            "name": "monitoring",
            "reason": "it existed before this run",
        }
    ]
    assert run.cluster.names() == ["ConfigMap theirs", "Namespace monitoring"]
    assert [entry["text"] for entry in gone["transitions"]] == [
        "ConfigMap monitoring/ours deleted",
        "Namespace mine deleted",
    ]


def test_deleting_again_changes_nothing(run: Run) -> None:
    run.apply(obj("Namespace", "mine"))
    run("recorded")
    assert run("absent")["changed"] is True
    assert run("absent") == {"changed": False, "deleted": [], "kept": [], "runs": [], "transitions": []}


def test_without_a_record_no_cluster_is_asked(run: Run) -> None:
    assert run("absent")["changed"] is False
    assert run.cluster.asked == []


@pytest.mark.parametrize(
    ("change", "reason", "left"),
    [
        ("relabelled", "it does not carry this run's label", True),
        ("unlabelled", "it does not carry this run's label", True),
        # What the run had created is gone here.
        ("replaced", "it is another object of the same name: its UID differs", False),
    ],
)
def test_both_label_and_uid_must_match(run: Run, change: str, reason: str, left: bool) -> None:
    mine = obj("ClusterRole", "role", labels={LABEL: RUN})
    run.apply(obj("ClusterRole", "role"))
    run("recorded")
    if change == "replaced":
        run.cluster.remove(mine)
        run.cluster.put(mine)
    else:
        run.cluster.put(obj("ClusterRole", "role", labels={LABEL: "r2"} if change == "relabelled" else {}))
    if left:
        with pytest.raises(Failed, match=f"Not all .* is gone: ClusterRole role: {reason}") as caught:
            run("absent")
        assert str(caught.value).endswith(" What to do: docs/runbooks/teardown-hangs.md.")
        gone = caught.value.result
    else:
        gone = run("absent")
    assert gone["deleted"] == []
    assert [kept["reason"] for kept in gone["kept"]] == [reason]
    assert len(run.recorded()) == 1
    assert run.cluster.names() == ["ClusterRole role"]


@pytest.mark.parametrize("uid", ["", "its own"])
@pytest.mark.parametrize("theirs", [obj("Namespace", "prod"), obj("Job", "start-handler-e-1", "prod")])
def test_a_record_that_was_edited_takes_nothing_of_others_with_it(
    run: Run, theirs: dict[str, Any], uid: str
) -> None:
    run("claimed")
    run.cluster.put(theirs)
    there = run.cluster.get(run.cluster.path(theirs))["metadata"]["uid"]
    record = load(str(run.record), RUN) or Record(RUN)
    entry = ClaimedObject(
        theirs["apiVersion"], theirs["kind"], theirs["metadata"].get("namespace", ""),
        theirs["metadata"]["name"], existed=False, uid=there if uid else "", derived=True,
    )  # fmt: skip
    record.put(entry)
    record.save(str(run.record))
    if uid:
        with pytest.raises(Failed, match="it does not carry this run's label"):
            run("absent")
    else:
        assert run("absent")["kept"][0]["reason"] == "it does not carry this run's label"
    assert run.cluster.deletions == []


def test_a_run_that_died_before_recording_is_cleaned_up_by_its_label(run: Run) -> None:
    run.apply(obj("Namespace", "mine"))
    assert refs(run("absent")["deleted"]) == ["Namespace mine"]


def test_a_run_that_died_before_applying_leaves_others_alone(run: Run) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    run.cluster.put(obj("Namespace", "mine"))
    assert run("absent")["deleted"] == []
    assert run.cluster.names() == ["Namespace mine"]


def test_an_object_replaced_under_our_hands_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.apply(obj("ClusterRole", "role"))
    run("recorded")
    real = removal.waves

    def replaced_meanwhile(doomed: Any) -> Any:
        run.cluster.remove(obj("ClusterRole", "role"))
        run.cluster.put(obj("ClusterRole", "role", labels={LABEL: RUN}))
        return real(doomed)

    monkeypatch.setattr(removal, "waves", replaced_meanwhile)
    gone = run("absent")
    assert gone["deleted"] == []
    assert "replaced by another object" in gone["kept"][0]["reason"]
    assert run.cluster.names() == ["ClusterRole role"]


def test_check_mode_names_exactly_what_would_go_and_touches_nothing(run: Run) -> None:
    run.apply(obj("Namespace", "mine"), obj("ConfigMap", "c", "mine"), obj("Experiment", "e", "mine"))
    run("recorded")
    before = run.record.read_text()
    planned = run("absent", check_mode=True)
    assert planned["changed"] is True
    assert refs(planned["deleted"]) == ["Experiment e", "ConfigMap c", "Namespace mine"]
    assert run.cluster.deletions == []
    assert run.record.read_text() == before
    assert refs(run("absent")["deleted"]) == refs(planned["deleted"])


def test_the_order_of_the_waves(run: Run) -> None:
    run.apply(
        obj("Namespace", "mine"),
        crd(CUSTOM[0]),
        crd(CUSTOM[1]),
        obj("ClusterRole", "role"),
        obj("ValidatingWebhookConfiguration", "hook"),
        obj("ServiceAccount", "sa", "mine"),
        obj("Deployment", "controller", "mine"),
        obj("InferenceService", "my-model", "mine"),
        obj("Experiment", "experiment-1", "mine"),
    )
    run("recorded")
    run("absent")
    assert run.cluster.deletions[:4] == [
        "Experiment experiment-1",
        "InferenceService my-model",
        "Deployment controller",
        "ValidatingWebhookConfiguration hook",
    ]
    assert sorted(run.cluster.deletions[4:6]) == ["ClusterRole role", "ServiceAccount sa"]
    assert {name.split()[0] for name in run.cluster.deletions[6:8]} == {"CustomResourceDefinition"}
    assert run.cluster.deletions[8] == "Namespace mine"


def test_gateways_go_before_their_controller_though_their_group_ends_as_kubernetes_own_do(run: Run) -> None:
    # GatewayClass and Gateway have finalizers that the controller alone takes away.
    run.apply(
        obj("Namespace", "mine"), obj("Deployment", "envoy-gateway", "mine"), obj("Gateway", "g", "mine")
    )
    run("recorded")
    run("absent")
    assert run.cluster.deletions == ["Gateway g", "Deployment envoy-gateway", "Namespace mine"]


def test_what_needs_no_controller_goes_at_once_after_what_does(run: Run) -> None:
    experiment = obj("Experiment", "e", "mine")
    rest = [
        obj("Namespace", "mine"), obj("Namespace", "other"), crd(CUSTOM[0]), obj("ClusterRole", "role"),
        obj("ValidatingWebhookConfiguration", "hook"), obj("Deployment", "controller", "mine"),
        *(obj("Deployment", f"d{number}", "other") for number in range(30)),
    ]  # fmt: skip
    run.apply(*rest, experiment)
    run("recorded")
    run.cluster.lingers = {run.cluster.path(definition): 5.0 for definition in [experiment, *rest]}
    asked: list[tuple[float, str]] = []
    delete = run.cluster.delete

    def noted(path: str, options: dict[str, Any]) -> Any:
        asked.append((run.clock.now, path))
        return delete(path, options)

    run.cluster.delete = noted
    gone = run("absent")
    assert len(gone["deleted"]) == 1 + len(rest)
    assert asked[0] == (0.0, run.cluster.path(experiment))
    assert len({when for when, _path in asked[1:]}) == 1, "one after another"
    assert asked[1][0] >= 5.0, "the controller was asked to go while its Experiment was there"
    assert run.clock.now == pytest.approx(10.0, abs=2 * removal.POLL_SECONDS)


def test_a_stuck_object_stops_the_removal_before_its_controller_goes(run: Run) -> None:
    run.apply(
        obj("Namespace", "mine"), obj("Deployment", "controller", "mine"), obj("Experiment", "e", "mine")
    )
    run("recorded")
    run.cluster.held.add(run.cluster.path(obj("Experiment", "e", "mine")))
    with pytest.raises(Failed, match=r"Experiment mine/e: held by finalizers a\.b/c") as caught:
        run("absent", timeout=5)
    assert 5 <= run.clock.now < 7
    assert caught.value.result["deleted"] == []
    assert "Deployment controller" in run.cluster.names()
    # Nothing is forgotten: the next try goes on from here.
    run.cluster.held.clear()
    run.cluster.remove(obj("Experiment", "e", "mine"))
    assert refs(run("absent")["deleted"]) == ["Deployment controller", "Namespace mine"]


def test_a_stuck_namespace_says_what_remains() -> None:
    namespace = {
        "kind": "Namespace",
        "metadata": {"name": "mine"},
        "status": {
            "conditions": [
                {"type": "NamespaceContentRemaining", "status": "True", "message": "1 widget remains"},
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "a.b/c in 1 instance"},
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all fine"},
            ]
        },
    }
    assert held.held_by(namespace) == (
        "NamespaceContentRemaining: 1 widget remains NamespaceFinalizersRemaining: a.b/c in 1 instance"
    )


def ending(name: str, until: str, seconds: int) -> dict[str, Any]:
    """A pod that was asked to go, and has until then."""
    pod = obj("Pod", name, "mine", deletionTimestamp=until, labels={"iter8.kfserving/run-id": RUN})
    return {**pod, "spec": {"terminationGracePeriodSeconds": seconds}}


def test_a_removal_says_until_when_pods_have_time_to_end(run: Run) -> None:
    deployment = obj("Deployment", "activator", "mine")
    run.apply(deployment)
    run("recorded")
    run.cluster.put(
        ending("activator-1", "2026-11-29T20:36:10Z", 30),
        obj("Pod", "activator-2", "mine"),
        ending("other-1", "2026-11-29T20:40:00Z", 30),
    )
    run.cluster.held.add(run.cluster.path(deployment))
    words = (
        r"Deployment mine/activator: held by finalizers a\.b/c "
        r"\(its pods have time to end: activator-1 until 2026-11-29T20:36:10Z\)"
    )
    with pytest.raises(Failed, match=words) as caught:
        run("absent", timeout=25)
    told = [each["text"] for each in caught.value.result["transitions"] if each["event"] == "deleting"]
    assert [bool(re.fullmatch(words, text)) for text in told] == [True], "once, though it was asked thrice"


def test_another_reason_why_something_is_still_there_is_told_with_what_is_known_of_its_pods(run: Run) -> None:
    deployment = obj("Deployment", "activator", "mine")
    run.apply(deployment)
    run("recorded")
    run.cluster.put(ending("activator-1", "soon", 30))
    path = run.cluster.path(deployment)
    run.cluster.held.add(path)

    def another(now: float) -> None:
        metadata = run.cluster.objects[path]["metadata"]
        if now >= 15 and "deletionTimestamp" in metadata:
            metadata["finalizers"] = ["d.e/f"]

    run.clock.on_sleep.append(another)
    with pytest.raises(Failed) as caught:
        run("absent", timeout=25)
    told = [each["text"] for each in caught.value.result["transitions"] if each["event"] == "deleting"]
    assert told == [
        f"Deployment mine/activator: held by finalizers {finalizer} "
        "(its pods have time to end: activator-1 until soon)"
        for finalizer in ("a.b/c", "d.e/f")
    ]


def test_a_namespace_goes_after_pods_that_have_long_to_end(run: Run) -> None:
    run.apply(obj("Namespace", "mine"), obj("Deployment", "activator", "mine"))
    run("recorded")
    pod = ending("activator-1", "2026-11-29T20:36:10Z", 600)
    run.cluster.put(pod)
    path, get = run.cluster.path(pod), run.cluster.get

    def until_forty(where: str, query: Any = None, *, metadata_only: bool = False) -> Any:
        if run.clock.now >= 40:
            run.cluster.objects.pop(path, None)
        assert run.clock.now >= 40 or "Namespace mine" not in run.cluster.deletions
        return get(where, query, metadata_only=metadata_only)

    run.cluster.get = until_forty
    gone = run("absent", timeout=100)
    assert refs(gone["deleted"]) == ["Deployment activator", "Namespace mine"]
    assert 40 <= run.clock.now < 42
    told = [each["text"] for each in gone["transitions"] if each["event"] == "deleting"]
    assert told == [
        "Namespace mine: not asked to go yet "
        "(its pods have time to end: activator-1 until 2026-11-29T20:36:10Z)"
    ]


def test_pods_that_nobody_asks_to_go_hold_up_no_namespace(run: Run) -> None:
    run.apply(obj("Namespace", "mine"))
    run("recorded")
    pod = ending("left-1", "", 600)
    run.cluster.put(pod)
    run("absent", timeout=100)
    assert run.clock.now == pytest.approx(5.0, abs=1)


def test_an_api_server_that_is_away_for_a_while_is_waited_for(run: Run) -> None:
    run.apply(obj("ClusterRole", "role"))
    run("recorded")
    run.cluster.faults[run.cluster.path(obj("ClusterRole", "role"))] = [memory.AWAY, memory.AWAY]
    assert refs(run("absent")["deleted"]) == ["ClusterRole role"]
    assert run.clock.now == pytest.approx(2.0)


@pytest.mark.parametrize("of", ["kind", "object"])
def test_a_deletion_that_one_404_answered_is_asked_for_again(run: Run, of: str) -> None:
    role = obj("ClusterRole", "role")
    run.apply(role)
    run("recorded")
    fault = UnknownKind("a restart") if of == "kind" else memory.no_such_path()
    run.cluster.faults[run.cluster.path(role)] = [fault]
    assert refs(run("absent", timeout=30)["deleted"]) == ["ClusterRole role"]
    assert run.clock.now < 5


# What a 404 proves

EXPERIMENT = CUSTOM[0]
NEWER = Resource("iter8.tools/v2beta1", "Experiment", "experiments", True, EXPERIMENT.verbs)


@pytest.fixture
def experiment(run: Run) -> dict[str, Any]:
    definition = obj("Experiment", "e", "default")
    run.apply(definition)
    run("recorded")
    return definition


def test_a_kind_that_is_served_at_another_version_now_is_found_there(
    run: Run, experiment: dict[str, Any]
) -> None:
    stored = run.cluster.objects.pop(run.cluster.path(experiment))
    run.cluster.kinds = [NEWER if kind == EXPERIMENT else kind for kind in run.cluster.kinds]
    run.cluster.objects[NEWER.path("default", "e")] = stored
    assert [each["api_version"] for each in run("absent")["deleted"]] == [NEWER.api_version]
    assert run.cluster.objects == {}
    assert run.recorded() == []


def test_a_kind_that_is_not_served_at_all_is_kept_and_the_run_is_not_over(
    run: Run, experiment: dict[str, Any]
) -> None:
    # Neither is it seen which definitions there are.
    definitions = next(kind for kind in run.cluster.kinds if kind.kind == "CustomResourceDefinition")
    run.cluster.kinds = [kind for kind in run.cluster.kinds if kind not in (EXPERIMENT, definitions)]
    with pytest.raises(Failed, match="Experiment default/e: its kind is not served") as caught:
        run("absent")
    assert refs(caught.value.result["kept"]) == ["Experiment e"]
    assert len(run.recorded()) == 1
    assert run.clock.now > 0, "asked only once"
    run.cluster.kinds.append(EXPERIMENT)
    assert refs(run("absent")["deleted"]) == ["Experiment e"]


def test_a_kind_without_a_definition_has_no_objects(run: Run, experiment: dict[str, Any]) -> None:
    run.cluster.kinds.remove(EXPERIMENT)
    run.cluster.put(crd(CUSTOM[1]))
    gone = run("absent")
    assert (gone["deleted"], gone["kept"]) == ([], [])
    assert run.clock.now == 0


def test_a_kind_that_is_defined_but_not_served_may_have_objects(run: Run, experiment: dict[str, Any]) -> None:
    run.cluster.put(crd(EXPERIMENT))
    run.cluster.kinds.remove(EXPERIMENT)
    with pytest.raises(Failed, match="its kind is not served"):
        run("absent")


@pytest.mark.parametrize("what", ["kind", "object"])
def test_one_404_is_asked_again_before_anything_is_called_absent(
    run: Run, experiment: dict[str, Any], what: str
) -> None:
    run.cluster.put(crd(EXPERIMENT))
    if what == "kind":
        run.cluster.get_faults[EXPERIMENT.api_version] = [UnknownKind("a restart")]
    else:
        run.cluster.get_faults[run.cluster.path(experiment)] = [memory.no_such_path()]
    assert refs(run("absent")["deleted"]) == ["Experiment e"]


def test_a_claim_does_not_take_one_404_for_an_absence(cluster: Any) -> None:
    cluster.put(obj("Experiment", "theirs", "default"), crd(EXPERIMENT))
    path = EXPERIMENT.path("default", "theirs")
    for faults in (
        {path: [memory.no_such_path()]},
        {EXPERIMENT.api_version: [UnknownKind("a restart")]},
    ):
        cluster.get_faults = faults
        definitions = [crd(EXPERIMENT), obj("Experiment", "theirs", "default")]
        clock = FakeClock()
        claims = claim(cluster, Record(RUN), definitions, None, False, sleep=clock.sleep)
        assert [one.entry.existed for one in claims] == [True, True]
        assert clock.now > 0


# One cluster


@pytest.mark.parametrize("state", ["present", "claimed", "recorded", "absent"])
def test_a_run_is_of_one_cluster_whatever_its_context_is_called(run: Run, state: str) -> None:
    run.cluster.put(obj("Namespace", "kube-system"))
    run.apply(obj("ClusterRole", "role"))
    run("recorded")
    before = run.record.read_text()
    assert json.loads(before)["cluster"] == "uid-1"
    run.cluster.objects[run.cluster.path(obj("Namespace", "kube-system"))]["metadata"]["uid"] = "other"
    with pytest.raises(Refusal, match=f"of another cluster .* delete the record {run.record}"):
        run(state, definitions=[obj("ClusterRole", "more")] if state == "claimed" else [])
    assert run.record.read_text() == before
    assert run.cluster.deletions == []
    run.cluster.objects[run.cluster.path(obj("Namespace", "kube-system"))]["metadata"]["uid"] = "uid-1"
    assert run("absent")["changed"] is True


def test_a_cluster_that_hides_its_own_namespace_can_be_used(run: Run) -> None:
    run.cluster.get_faults["/api/v1/namespaces/kube-system"] = [Forbidden("no right")]
    run.apply(obj("ClusterRole", "role"))
    assert json.loads(run.record.read_text())["cluster"] == ""
    assert refs(run("absent")["deleted"]) == ["ClusterRole role"]


def test_a_removal_that_is_killed_has_recorded_what_was_gone(run: Run) -> None:
    run.apply(obj("ClusterRole", "role"), obj("Experiment", "e", "default"))
    run("recorded")
    run.cluster.faults[run.cluster.path(obj("ClusterRole", "role"))] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        run("absent")
    assert [entry.kind for entry in run.recorded()] == ["ClusterRole"]


# Other people's objects


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("apps/v1", AWAY),
        ("apps/v1", Forbidden("no right")),
        ("apps/v1", memory.no_such_path()),
        ("/apis/apps/v1/namespaces/mine/deployments", AWAY),
        ("/apis/apps/v1/namespaces/mine/deployments", Forbidden("no right")),
        ("/apis/apps/v1/namespaces/mine/deployments", BadRequest("what?")),
        ("/apis/apps/v1/namespaces/mine/deployments", memory.no_such_path()),
    ],
)
def test_what_cannot_be_listed_is_not_called_empty(run: Run, where: str, error: Exception) -> None:
    run.apply(obj("Namespace", "mine"))
    run("recorded")
    run.cluster.get_faults[where] = [error] * 9
    with pytest.raises(Refusal, match="Nothing was deleted: .* cannot be listed.*teardown-hangs.md"):
        run("absent")
    assert run.cluster.deletions == []
    run.cluster.get_faults[where] = [error] * 9
    assert refs(run("absent", force_contents=True)["deleted"]) == ["Namespace mine"]


@pytest.mark.parametrize("where", ["apps/v1", "/apis/apps/v1/namespaces/mine/deployments"])
def test_one_404_for_a_list_is_asked_again(run: Run, where: str) -> None:
    run.apply(obj("Namespace", "mine"))
    run("recorded")
    run.cluster.put(obj("Deployment", "theirs", "mine"))
    run.cluster.get_faults[where] = [memory.no_such_path()]
    with pytest.raises(Refusal, match="Deployment mine/theirs.*teardown-hangs.md"):
        run("absent")


def test_a_kind_that_knows_no_list_is_passed_over(run: Run) -> None:
    run.apply(obj("Namespace", "mine"))
    run("recorded")
    run.cluster.get_faults["/apis/apps/v1/namespaces/mine/deployments"] = [MethodNotAllowed("405")]
    assert refs(run("absent")["deleted"]) == ["Namespace mine"]


@pytest.mark.parametrize(
    ("kind", "metadata", "is_foreign"),
    [
        ("Deployment", {"name": "theirs"}, True),
        ("Deployment", {"name": "ours", "labels": {LABEL: RUN}}, False),
        ("Deployment", {"name": "another run's", "labels": {LABEL: "r2"}}, True),
        ("Pod", {"name": "p", "ownerReferences": [{"uid": "x"}]}, False),
        ("Pod", {"name": "p"}, True),
        ("Pod", {"name": "p", "deletionTimestamp": "now"}, False),
        ("Event", {"name": "e"}, False),
        ("ServiceAccount", {"name": "default"}, False),
        ("ConfigMap", {"name": "kube-root-ca.crt"}, False),
        ("Secret", {"name": "t", "annotations": {"kubernetes.io/service-account.uid": "x"}}, False),
        ("ConfigMap", {"name": "lock", "managedFields": [{"manager": "controller"}]}, False),
        ("ConfigMap", {"name": "c", "managedFields": [{"manager": "kubectl-client-side-apply"}]}, True),
        ("Secret", {"name": "s", "managedFields": [{"manager": "x"}, {"manager": "helm"}]}, True),
        ("ConfigMap", {"name": "nobody's"}, True),
        ("Job", {"name": "handler", "managedFields": [{"manager": "manager"}]}, False),
        ("InferenceService", {"name": "theirs", "managedFields": [{"manager": "controller"}]}, True),
        ("RoleBinding", {"name": "system:image-pullers"}, False),
        ("RoleBinding", {"name": "admins"}, True),
        ("Role", {"name": "system:theirs"}, True),
        ("ClusterServiceVersion", {"name": "o.v1", "labels": {"olm.copiedFrom": "operators"}}, False),
        ("ClusterServiceVersion", {"name": "o.v1"}, True),
        ("PackageManifest", {"name": "serverless-operator"}, False),
    ],
)
def test_whose_an_object_is(kind: str, metadata: dict[str, Any], is_foreign: bool) -> None:
    assert foreign({"metadata": metadata}, kind, RUN) is is_foreign


def test_a_namespace_with_other_peoples_objects_is_refused_before_anything_goes(run: Run) -> None:
    run.apply(obj("Namespace", "mine"), obj("ConfigMap", "ours", "mine"))
    run("recorded")
    run.cluster.put(obj("Deployment", "theirs", "mine"))
    for check_mode in (True, False):
        with pytest.raises(Refusal, match="Deployment mine/theirs"):
            run("absent", check_mode=check_mode)
    assert run.cluster.deletions == []
    assert refs(run("absent", force_contents=True)["deleted"]) == ["ConfigMap ours", "Namespace mine"]


def test_a_crd_with_other_peoples_objects_is_refused(run: Run) -> None:
    run.apply(crd(CUSTOM[0]))
    run("recorded")
    run.cluster.put(obj("Experiment", "theirs", "default"))
    with pytest.raises(Refusal, match="Experiment default/theirs"):
        run("absent")
    assert run.cluster.deletions == []


# The record


@pytest.mark.parametrize("run_id", ["", " ", "-a", "a-", "a b", "a/b", "a" * 64, "é"])
def test_run_ids_that_own_nothing_or_everything_are_refused(run_id: str) -> None:
    with pytest.raises(Refusal, match="run_id"):
        require_run_id(run_id)


@pytest.mark.parametrize("run_id", ["a", "e2e-20261122-4711", "A.b_c-9", "a" * 63])
def test_run_ids_that_are_labels(run_id: str) -> None:
    require_run_id(run_id)


@pytest.mark.parametrize("state", ["present", "claimed", "recorded", "absent"])
def test_every_state_refuses_an_empty_run_id(run: Run, state: str) -> None:
    with pytest.raises(Refusal):
        run(state, run_id="")


@pytest.mark.parametrize("state", ["present", "claimed", "recorded", "absent"])
def test_the_record_of_another_run_is_refused(run: Run, state: str) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    with pytest.raises(Refusal, match="is of run r1, not of r2"):
        run(state, run_id="r2")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 1}', '{"schema": 2, "run_id": "r1", "objects": []}',
                '{"schema": 1, "run_id": "r1", "objects": [{"kind": "Pod"}]}']
)  # fmt: skip
def test_a_broken_record_is_an_error_not_an_empty_one(run: Run, content: str) -> None:
    run.record.parent.mkdir()
    run.record.write_text(content)
    with pytest.raises(ClusterError, match="The record"):
        run("absent")


def test_a_record_that_cannot_be_written_leaves_the_old_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    before = run.record.read_text()

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ClusterError, match="No space left on device"):
        run("claimed", definitions=[obj("Namespace", "other")])
    assert run.record.read_text() == before
    assert [path.name for path in run.record.parent.iterdir()] == ["record.json"]


def test_one_object_has_one_entry_whatever_its_version() -> None:
    record = Record(RUN)
    record.put(ClaimedObject("apps/v1beta1", "Deployment", "ns", "d", existed=False, uid="u"))
    record.put(ClaimedObject("apps/v1", "Deployment", "ns", "d", existed=False, uid="u"))
    assert len(record.entries) == 1


def test_recording_keeps_the_order_of_claims(cluster: Any) -> None:
    record = Record(RUN)
    names = [f"n{number}" for number in range(20)]
    claims = claim(cluster, record, [obj("Namespace", name) for name in names], None, False)
    cluster.put(*(one.definition for one in claims))
    record_uids(cluster, record)
    assert [entry.name for entry in record.entries] == names


# Whose record it is


@pytest.mark.parametrize("state", ["present", "claimed", "recorded", "absent"])
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_record_where_others_can_write_is_neither_read_nor_written(run: Run, state: str, mode: int) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    run.apply(obj("Namespace", "mine", labels={LABEL: RUN}))
    before = run.record.read_bytes()
    there = [path.rpartition("/")[2] for path in run.cluster.objects]
    assert "mine" in there
    run.record.parent.chmod(mode)
    with pytest.raises(ClusterError, match=rf"The record {run.record} cannot be .*: everybody can write to"):
        run(state, definitions=[obj("Namespace", "more")])
    assert run.record.read_bytes() == before
    assert [path.rpartition("/")[2] for path in run.cluster.objects] == there


def test_the_folder_of_a_first_record_is_the_users_own(run: Run) -> None:
    run("claimed", definitions=[obj("Namespace", "mine")])
    assert run.record.parent.stat().st_mode & 0o777 == 0o700


def test_the_record_of_a_user_who_is_not_there_is_one_clear_error(run: Run) -> None:
    with pytest.raises(ClusterError) as caught:
        run("claimed", record="~nosuchuser/record.json", definitions=[obj("Namespace", "mine")])
    assert str(caught.value) == (
        "The record cannot be found: there is no such user, or no such home, as ~nosuchuser."
    )
