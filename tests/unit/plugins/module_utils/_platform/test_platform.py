# SPDX-License-Identifier: GPL-3.0-or-later
"""The module platform_steps against a cluster in memory: what it refuses, what it leaves alone, in which
order it applies."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Unreachable,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Clock
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import Failed
from ansible_collections.iter8.kfserving.plugins.module_utils._platform import platform as module_side
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock
from ansible_collections.iter8.kfserving.tests.support.cluster import CUSTOM, Cluster, crd, obj

RUN = "r1"
CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
GUARD = "ValidatingWebhookConfiguration"
SERVED = [{"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}]


class Platform:
    """The module against a cluster in memory, with a clock of its own."""

    def __init__(self, cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self.folder = folder
        self.clock = FakeClock()
        monkeypatch.setattr(module_side, "connect", lambda _module, **_options: cluster)
        monkeypatch.setattr(module_side, "Clock", lambda: Clock(now=self.clock, sleep=self.clock.sleep))
        # CRDs are established as soon as they are applied.
        cluster.on_apply = lambda each: each.update(
            {"status": {"conditions": SERVED}} if each["kind"] == "CustomResourceDefinition" else {}
        )

    def __call__(self, *steps: dict[str, Any], check_mode: bool = False, **params: Any) -> dict[str, Any]:
        module: Any = SimpleNamespace()
        module.check_mode = check_mode
        module.params = {
            "run_id": RUN,
            "record": str(self.folder / "record.json"),
            "record_namespace": "default",
            "steps": [*steps],
            "folder": None,
            "mirror": None,
            "checksums": {},
            "images": {},
            "self_signed": False,
            "other_version": "stop",
            "timeout": 30,
            "progress_file": None,
            **params,
        }
        return module_side.platform(module)

    def problems(self, *steps: dict[str, Any], **params: Any) -> list[str]:
        """What it refuses; nothing may have been applied."""
        with pytest.raises(Failed) as caught:
            self(*steps, **params)
        assert self.cluster.applied == []
        assert not (self.folder / "record.json").exists()
        assert str(caught.value).startswith("Nothing was changed")
        return list(caught.value.result["problems"])


@pytest.fixture
def cluster() -> Cluster:
    return Cluster([each for each in Cluster().kinds if each not in CUSTOM])


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    return Platform(cluster, tmp_path, monkeypatch)


def step(name: str, *definitions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "definitions": [*definitions], **more}


def deployment(image: str, name: str = "d", **metadata: Any) -> dict[str, Any]:
    spec = {"replicas": 0, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
    return {**obj("Deployment", name, "mine", **metadata), "spec": spec}


DETECT = {"api_version": "apps/v1", "kind": "Deployment", "name": "d", "namespace": "mine", "by": "image"}
EXPERIMENT = CUSTOM[0]


def test_kinds_and_namespaces_go_first_and_the_rest_keeps_its_order(run: Platform) -> None:
    experiment, secret = obj("Experiment", "e", "mine"), obj("Secret", "s", "mine")
    result = run(step("one", experiment, secret, obj("Namespace", "mine"), crd(EXPERIMENT)))
    applied = [words for words, _manager in run.cluster.applied if "iter8-kfserving-run" not in words]
    assert applied[0].startswith("CustomResourceDefinition")
    assert applied[1:] == ["Namespace mine", "Experiment e", "Secret s"]
    assert result["changed"] is True
    assert len(result["created"]) == 4
    again = run(step("one", experiment, secret, obj("Namespace", "mine"), crd(EXPERIMENT)))
    assert again["changed"] is False
    assert again["transitions"][-1]["text"] == "one: as it was, 4 objects"


def test_check_mode_changes_nothing(run: Platform) -> None:
    result = run(step("one", obj("Namespace", "mine")), check_mode=True)
    assert result["changed"] is True
    assert run.cluster.applied == []
    assert not (run.folder / "record.json").exists()


def test_everything_that_is_wrong_is_told_at_once(run: Platform, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html></html>")
    run.cluster.put(obj("Namespace", "mine"), deployment("a:1"))
    problems = run.problems(
        {"name": "pages", "sources": [{"file": str(tmp_path / "page")}, {"file": str(tmp_path / "none")}]},
        step("kinds", obj("Experiment", "e", "mine")),
        step("there", deployment("a:2"), detect=DETECT),
        step("theirs", detect={**DETECT, "name": "istiod"}, hint="Install it."),
        step("homeless", obj("Secret", "s", "nowhere")),
    )
    words = [
        "pages: ", "pages: ", "kinds: the cluster does not serve Experiment",
        "there is there already, and not by this",
        "theirs is needed and not there (Deployment mine/istiod). Install it.",
        "there is no namespace nowhere",
    ]  # fmt: skip
    assert len(problems) == len(words)
    for problem, word in zip(problems, words):
        assert word in problem
    assert "Deployment mine/d is a:1, where a:2 is to be installed" in problems[3]


def test_what_may_not_be_looked_at_hides_nothing_else_that_is_wrong(run: Platform, tmp_path: Path) -> None:
    run.cluster.get_faults["/apis/apps/v1/namespaces/mine/deployments/d"] = [Forbidden("deployments: 403.")]
    run.cluster.denied = {("create", "namespaces")}
    problems = run.problems(
        {"name": "gone", "sources": [{"file": str(tmp_path / "none")}]},
        step("one", obj("Namespace", "mine"), detect=DETECT),
        step("theirs", detect={**DETECT, "name": "istiod"}),
    )
    assert [each.split(":")[0] for each in problems[:2]] == [
        "gone", "Whether one is there already cannot be seen",
    ]  # fmt: skip
    assert problems[2].startswith("theirs is needed and not there")
    assert problems[3:] == ["The user may not create namespaces in the whole cluster."]


def test_an_api_server_that_goes_away_hides_nothing_that_was_found(run: Platform, tmp_path: Path) -> None:
    run.cluster.get_faults["/apis/apps/v1/namespaces/mine/deployments/d"] = [Unreachable("it is away.")]
    problems = run.problems(
        {"name": "gone", "sources": [{"file": str(tmp_path / "none")}]}, step("one", detect=DETECT)
    )
    assert problems[0].startswith("gone: ")
    assert problems[1] == "it is away."


def test_an_object_without_a_namespace_is_told_unless_the_step_has_one(run: Platform) -> None:
    homeless = step("one", obj("Namespace", "mine"), obj("Secret", "s"))
    assert run.problems(homeless) == ["one: Secret s names no namespace, and the step has none for it."]
    run({**homeless, "namespace": "mine"})
    assert run.cluster.get("/api/v1/namespaces/mine/secrets/s")["metadata"]["name"] == "s"


def test_rights_that_are_missing_are_told_by_kind(run: Platform) -> None:
    run.cluster.denied = {("patch", "namespaces"), ("create", "namespaces"), ("escalate", "clusterroles")}
    role = {**obj("ClusterRole", "r"), "rules": []}
    assert run.problems(step("one", obj("Namespace", "mine"), role)) == [
        "The user may not create, patch namespaces in the whole cluster.",
        "The user may not escalate clusterroles.rbac.authorization.k8s.io in the whole cluster.",
    ]


def test_what_is_there_at_the_right_version_is_left_alone_and_told(run: Platform) -> None:
    run.cluster.put(obj("Namespace", "mine"), deployment("a:1"))
    result = run(step("one", deployment("a:1"), obj("Secret", "s", "mine"), detect=DETECT))
    assert result["changed"] is False
    assert result["steps"] == [{"name": "one", "there": "Deployment mine/d, a:1"}]
    assert [words for words, _manager in run.cluster.applied if "run" not in words] == []
    assert "stays as it is: Deployment mine/d, a:1" in result["transitions"][0]["text"]


def test_another_version_is_kept_where_that_is_asked_for(run: Platform) -> None:
    run.cluster.put(obj("Namespace", "mine"), deployment("a:1"))
    kept = run(step("one", deployment("a:2"), detect=DETECT), other_version="keep")
    assert kept["steps"][0]["there"] == "Deployment mine/d, a:1"
    assert run.cluster.get("/apis/apps/v1/namespaces/mine/deployments/d")["spec"] == deployment("a:1")["spec"]


def test_the_same_version_from_a_mirror_is_no_other(run: Platform) -> None:
    run.cluster.put(obj("Namespace", "mine"), deployment("quay.io/x/a:1"))
    result = run(step("one", deployment("quay.io/x/a:1"), detect=DETECT), images={"quay.io/": "mirror:5000/"})
    assert result["steps"] == [{"name": "one", "there": "Deployment mine/d, quay.io/x/a:1"}]
    run.cluster.applied.clear()
    (run.folder / "record.json").unlink()
    other = run.problems(step("one", deployment("quay.io/x/a:2"), detect=DETECT), images={"quay.io/": "m/"})
    assert "quay.io/x/a:1, where m/x/a:2 is to be installed" in other[0]


def test_what_is_being_deleted_is_neither_there_nor_a_place(run: Platform) -> None:
    run.cluster.put(
        obj("Namespace", "mine", deletionTimestamp="now"), deployment("a:1", deletionTimestamp="now")
    )
    problems = run.problems(step("one", deployment("a:1"), obj("Secret", "s", "mine"), detect=DETECT))
    assert [each.partition(" is being deleted.")[0] for each in problems] == [
        "one: Deployment mine/d", "one: the namespace mine",
    ]  # fmt: skip


def test_what_could_not_be_read_is_no_other_version(run: Platform, tmp_path: Path) -> None:
    run.cluster.put(obj("Namespace", "mine"), deployment("a:1"))
    unread = {"name": "one", "sources": [{"file": str(tmp_path / "none")}], "detect": DETECT}
    assert len(run.problems(unread)) == 1


def test_a_version_that_nothing_tells_is_another(run: Platform) -> None:
    run.cluster.put(obj("Namespace", "mine"), deployment("a:1"))
    by_label = {**DETECT, "by": "label:app.kubernetes.io/version"}
    problems = run.problems(step("one", deployment("a:1"), detect=by_label))
    assert "Deployment mine/d is of no known version, where another" in problems[0]


def test_the_runs_own_step_is_applied_again_at_its_new_version(run: Platform) -> None:
    namespace = obj("Namespace", "mine")
    run(step("one", namespace, deployment("a:1"), detect=DETECT))
    changed = run(step("one", namespace, deployment("a:2"), detect=DETECT))
    assert changed["changed"] is True
    found = run.cluster.get("/apis/apps/v1/namespaces/mine/deployments/d")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "a:2"


def test_objects_of_others_that_differ_stop_it_and_equal_ones_are_not_touched(run: Platform) -> None:
    theirs = {**obj("Secret", "s", "mine"), "data": {"a": "theirs"}}
    run.cluster.put(obj("Namespace", "mine", labels={"x": "y"}), theirs)
    same = run(step("one", obj("Namespace", "mine"), theirs, obj("Secret", "t", "mine")))
    assert [ref["name"] for ref in same["created"]] == ["t"]
    assert all("Secret s" not in words for words, _manager in run.cluster.applied)
    run.cluster.applied.clear()
    (run.folder / "record.json").unlink()
    problems = run.problems(step("one", {**theirs, "data": {"a": "ours"}}))
    assert "Secret mine/s is there already, and not by this run, and differs" in problems[0]


def test_fields_that_others_have_taken_over_are_told_before_the_first_change(run: Platform) -> None:
    steps = [step("one", obj("Namespace", "mine")), step("two", obj("Secret", "s", "mine"))]
    run(*steps)
    run.cluster.applied.clear()
    (run.folder / "record.json").unlink()
    taken = Conflict("409")
    taken.fields = ((".data.a", "kubectl-edit"),)
    path = run.cluster.path(obj("Secret", "s", "mine"))
    run.cluster.faults[path] = [taken]
    (problem,) = run.problems(step("zero", obj("Namespace", "other")), *steps)
    assert problem.startswith("two: Secret mine/s was not applied, for others own fields")
    assert ".data.a (kubectl-edit)" in problem
    run.cluster.faults[path] = [Unreachable("a webhook that a step before brings")]
    assert run(*steps, step("three", obj("Namespace", "other")))["changed"] is True


def test_rules_that_a_webhooks_program_has_filled_in_stay_and_are_told(run: Platform) -> None:
    hook = {"name": "a", "rules": [{"operations": ["CREATE"]}], "clientConfig": {"url": "https://a"}}
    guard = {**obj(GUARD, "w"), "webhooks": [hook]}
    run(step("one", guard))
    run.cluster.applied.clear()
    taken = Conflict("409")
    taken.fields = (('.webhooks[name="a"].rules', "webhook"),)
    run.cluster.faults[run.cluster.path(guard)] = [taken]
    asked: list[Any] = []
    apply = run.cluster.apply

    def noted(path: str, definition: Any, field_manager: str, *, dry_run: bool = False) -> Any:
        asked.append(definition)
        # What is left out stays.
        if GUARD in definition["kind"]:
            definition = {**definition, "webhooks": [hook]}
        return apply(path, definition, field_manager, dry_run=dry_run)

    run.cluster.apply = noted
    again = run(step("one", guard))
    assert again["changed"] is False
    assert again["left"] == [f'{GUARD} w: .webhooks[name="a"].rules, which is webhook\'s']
    assert [each for each in asked if each["kind"] == GUARD][-1]["webhooks"] == [
        {"name": "a", "clientConfig": {"url": "https://a"}}
    ]


def webhook(ca: str) -> dict[str, Any]:
    config = {"caBundle": ca, "service": {"name": "w", "namespace": "mine"}}
    rule = {
        "apiGroups": ["iter8.tools"],
        "apiVersions": ["*"],
        "resources": ["experiments"],
        "operations": ["CREATE"],
    }
    return {**obj(GUARD, "guard"), "webhooks": [{"name": "g", "clientConfig": config, "rules": [rule]}]}


def endpoints(*addresses: str) -> dict[str, Any]:
    ready = [{"addresses": [{"ip": each} for each in addresses]}] if addresses else []
    return {**obj("Endpoints", "w", "mine"), "subsets": ready}


def guarded() -> dict[str, Any]:
    objects = (obj("Namespace", "mine"), crd(EXPERIMENT), obj("Experiment", "e", "mine"), webhook("Cg=="))
    return step("one", *objects, obj("Secret", "s", "mine"))


def test_what_a_webhook_guards_waits_until_it_can_answer(run: Platform) -> None:
    def controllers(now: float) -> None:
        """What installs the CA after 5 s and has the endpoint ready after 10."""
        if now >= 5:
            run.cluster.objects["/apis/admissionregistration.k8s.io/v1/vwc/guard"]["webhooks"] = webhook(CA)[
                "webhooks"
            ]
        if now >= 10:
            run.cluster.put(endpoints("10.0.0.1"))

    run.clock.on_sleep.append(controllers)
    run(guarded())
    applied = [words for words, _manager in run.cluster.applied if "run" not in words]
    assert applied[-2:] == ["Secret s", "Experiment e"]
    assert 10 <= run.clock() < 11


def test_a_webhook_that_never_answers_is_named_with_what_it_lacks(run: Platform) -> None:
    with pytest.raises(ClusterError, match=r"one: .*the webhook g: it has no CA yet"):
        run(guarded())
    run.cluster.objects["/apis/admissionregistration.k8s.io/v1/vwc/guard"]["webhooks"] = webhook(CA)[
        "webhooks"
    ]
    run.cluster.put(endpoints())
    with pytest.raises(ClusterError, match="its Service mine/w has no ready endpoint"):
        run({**guarded(), "definitions": [obj("Experiment", "e", "mine")]})


def test_a_webhook_of_others_that_may_not_be_looked_at_holds_nothing_up(run: Platform) -> None:
    run.cluster.put(webhook(CA))
    run.cluster.get_faults["/api/v1/namespaces/mine/endpoints/w"] = [Forbidden("endpoints: 403.")] * 9
    run(step("one", obj("Namespace", "mine"), crd(EXPERIMENT), obj("Experiment", "e", "mine")))
    assert run.cluster.applied[-2][0] == "Experiment e"


def test_a_webhook_that_fails_open_guards_nothing(run: Platform) -> None:
    open_one = webhook("Cg==")
    open_one["webhooks"][0]["failurePolicy"] = "Ignore"
    run(step("one", obj("Namespace", "mine"), crd(EXPERIMENT), open_one, obj("Experiment", "e", "mine")))
    assert "Experiment e" in [words for words, _manager in run.cluster.applied]


def test_a_kind_that_is_not_established_is_named(run: Platform) -> None:
    run.cluster.on_apply = lambda _each: None
    with pytest.raises(
        ClusterError, match=r"Kinds are not served in time\. CustomResourceDefinition .*: it is not est"
    ):
        run(step("one", crd(EXPERIMENT)))


def test_certificates_of_our_own_are_made_once(run: Platform) -> None:
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "c", "namespace": "mine"},
        "spec": {"secretName": "s", "dnsNames": ["w.mine.svc"]},
    }
    steps = [step("one", obj("Namespace", "mine"), certificate, obj("Secret", "s", "mine"))]
    assert "does not serve Certificate" in run.problems(*steps)[0]
    made = run(*steps, self_signed=True)
    assert [ref["kind"] for ref in made["created"]] == ["Secret", "Namespace"]
    assert run(*steps, self_signed=True)["changed"] is False


def test_a_certificate_that_cannot_be_made_here_is_refused_with_all_else(run: Platform) -> None:
    metadata = {"name": "c", "namespace": "mine"}
    spec = {"secretName": "s", "ipAddresses": ["127.0.0.1"]}
    certificate = {
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata, "spec": spec,
    }  # fmt: skip
    told = run.problems(step("one", certificate), step("two", obj("Experiment", "e")), self_signed=True)
    words = "it has neither dnsNames nor a commonName."
    assert told[0] == f"one: The Certificate mine/c cannot be made here: {words}"
    assert any("Experiment" in each for each in told[1:])


def test_each_step_has_its_time_in_which_a_busy_api_server_is_asked_again(
    run: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster: Any = run.cluster

    def connected(_module: Any, *, deadline: float) -> Any:
        cluster.deadline = deadline
        return cluster

    left: list[float] = []

    def applied(_each: Any) -> None:
        left.append(cluster.deadline - run.clock.now)
        run.clock.now += 25.0

    monkeypatch.setattr(module_side, "connect", connected)
    run.cluster.on_apply = applied
    run(*(step(name, obj("Namespace", name)) for name in ("one", "two", "three")), record_namespace="")
    assert left == [30.0, 30.0, 30.0]


def test_what_was_created_is_on_record_when_a_step_fails(run: Platform) -> None:
    path = run.cluster.path(obj("Namespace", "other"))
    run.cluster.faults[path] = [Unreachable("refused")] * 100
    with pytest.raises(Failed, match="two: refused") as caught:
        run(step("one", obj("Namespace", "mine")), step("two", obj("Namespace", "other")))
    assert caught.value.result["changed"] is True
    recorded = yaml.safe_load((run.folder / "record.json").read_text())["objects"]
    assert [(each["name"], bool(each["uid"])) for each in recorded] == [("mine", True), ("other", False)]
