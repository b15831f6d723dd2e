# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's own manifests, all documents of them, on a real API server: applied, unchanged on the second
run, removed with nothing left, and what others have there untouched. No controller of theirs runs.

KFServing's and iter8's go to Kubernetes 1.20, as they need what 1.22 took away; KServe's and Knative's need a
newer one, and are skipped where the binaries of Kubernetes 1.34 have not been built (make real builds them,
and has the manifests of the releases that it installs; tests/real/test_platform.py has these with their
controllers).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths

from ...support.places import UPSTREAM
from ...support.sandbox import Home, Running
from ...support.upstream import NEEDED, Platform, Ref, foreign_objects, ref

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(3000)]

NEWER = "kubernetes-v1.34.4-linux-amd64"
SYSTEM = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "system"}}


def step(name: str, *files: str, definitions: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    missing = [each for each in files if not (UPSTREAM / each).exists()]
    if missing:
        pytest.skip(f"{UPSTREAM} has no {', '.join(missing)}: set KFSERVING_UPSTREAM to a folder that has")
    sources = [{"file": str(UPSTREAM / each)} for each in files]
    return {"name": name, "sources": sources, "definitions": [*definitions], **more}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox whose control plane is Kubernetes 1.34."""
    assets = paths.cache_dir() / "real" / NEWER
    if not (assets / "kube-apiserver").exists():
        pytest.skip(f"{assets} has no kube-apiserver: make real builds it")
    before = os.environ.get("KUBEBUILDER_ASSETS")
    os.environ["KUBEBUILDER_ASSETS"] = str(assets)
    try:
        with Home(tmp_path_factory.mktemp("state")).running(f"newer-{os.getpid()}") as running:
            yield running
    finally:
        if before is None:
            del os.environ["KUBEBUILDER_ASSETS"]
        else:
            os.environ["KUBEBUILDER_ASSETS"] = before


def make_foreign(platform: Platform, *more: dict[str, Any]) -> list[Ref]:
    made = [*foreign_objects(), *more]
    for obj in made:
        if platform.get(ref(obj)) is None:
            kind = platform.api.resource(obj["apiVersion"], obj["kind"])
            platform.api.create(kind.path(obj["metadata"].get("namespace")), obj)
    return [ref(obj) for obj in made]


def go_through(platform: Platform, steps: list[dict[str, Any]], foreign: list[Ref], count: int) -> None:
    """The whole life of a platform; `count` documents are applied."""
    theirs = platform.versions(foreign)
    assert len(theirs) == len(foreign)
    planned = platform.install(*steps, check=True)
    assert (planned["failed"], planned["changed"]) == (False, True), planned.get("msg")
    assert len(planned["created"]) == count
    # A namespace of others may be among what is named.
    assert platform.versions(planned["created"]) == {}
    installed = platform.install(*steps)
    assert (installed["failed"], installed["changed"]) == (False, True), installed.get("msg")
    own = platform.versions(installed["created"])
    assert len(own) == count
    again = platform.install(*steps)
    assert (again["failed"], again["changed"]) == (False, False), again.get("msg")
    checked = platform.install(*steps, check=True)
    assert (checked["failed"], checked["changed"]) == (False, False), checked.get("msg")
    listed = platform.remove(check=True)
    assert len(listed["deleted"]) == count
    assert platform.versions(installed["created"]) == own
    # From another machine: only the cluster knows the run.
    platform.record.unlink()
    gone = platform.remove()
    assert gone["failed"] is False, gone.get("msg")
    assert sorted(map(str, gone["deleted"])) == sorted(map(str, listed["deleted"]))
    assert platform.versions(installed["created"]) == {}
    assert platform.versions(foreign) == theirs


ETC3 = [
    "clusterroles", "iter8.tools_experiments", "iter8.tools_metrics", "leader_election_role", "manager",
    "rolebindings", "serviceaccounts",
]  # fmt: skip


def test_kfserving_0_6_1_and_iter8(sandbox: Running, tmp_path: Path) -> None:
    platform = Platform(sandbox, tmp_path)
    iter8 = [f"etc3-v0.1.1-alpha/{each}.yaml" for each in ETC3]
    steps = [
        NEEDED,
        step("KFServing 0.6.1", "kfserving-v0.6.1.yaml"),
        # Its namespace is kustomize's to rename, and so is made here.
        step("etc3 0.1.1-alpha", *iter8, definitions=(SYSTEM,), namespace="system"),
    ]
    go_through(platform, steps, make_foreign(platform), 3 + 28 + 13 + 1)


def test_kfserving_0_5_0_with_the_kinds_of_0_6_1(sandbox: Running, tmp_path: Path) -> None:
    """The file of 0.5.0 is without CustomResourceDefinitions, so those of 0.6.1 stand in for them."""
    platform = Platform(sandbox, tmp_path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    newer_file = UPSTREAM / "kfserving-v0.6.1.yaml"
    five = step("KFServing 0.5.0", "kfserving-v0.5.0.yaml")
    documents = yaml.load_all(newer_file.read_text(), Loader=loader)
    kinds = [each for each in documents if each and each["kind"] == "CustomResourceDefinition"]
    kinds_file = tmp_path / "kinds.yaml"
    kinds_file.write_text(yaml.safe_dump_all(kinds))
    go_through(
        platform,
        [NEEDED, {"name": "kinds of 0.6.1", "sources": [{"file": str(kinds_file)}]}, five],
        make_foreign(platform),
        3 + 2 + 18,
    )


def test_kserve_0_15_2_and_its_model_servers(newer: Running, tmp_path: Path) -> None:
    platform = Platform(newer, tmp_path)
    # Its namespace was there before, and so stays.
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kserve"}}
    foreign = make_foreign(platform, namespace)
    kserve = step("KServe 0.15.2", "kserve-v0.15.2.yaml")
    servers = step("model servers", "kserve-cluster-resources-v0.15.2.yaml")
    theirs = platform.versions(foreign)
    # No controller runs, so the webhook that guards the model servers never answers: that is told, by name.
    installed = platform.install(NEEDED, kserve)
    assert installed["failed"] is False, installed.get("msg")
    refused = platform.install(NEEDED, kserve, servers, timeout=30)
    assert refused["failed"] is True
    guard = "the webhook clusterservingruntime.kserve-webhook-server.validator: it has no CA yet"
    assert guard in refused["msg"], refused["msg"]
    # Whoever has the webhook let its guarded kind through, and the rest is applied.
    let_through(platform, "clusterservingruntime.serving.kserve.io")
    applied = platform.install(servers)
    assert applied["failed"] is False, applied.get("msg")
    assert len(applied["created"]) == 12
    own = platform.versions(applied["created"])
    assert len(own) == 12
    assert platform.install(servers)["changed"] is False
    assert platform.versions(applied["created"]) == own
    assert platform.remove()["failed"] is False
    assert platform.versions(applied["created"]) == {}
    assert platform.versions(foreign) == theirs
    go_through(platform, [NEEDED, kserve], foreign, 3 + 40 - 1)


def released(step_name: str, *parts: str, **more: Any) -> dict[str, Any]:
    """A step of manifests that `make real` keeps beside what it builds. Nobody answers for their webhooks
    here, so that these are left out."""
    folder = paths.cache_dir() / "real"
    files = sorted(each for part in parts for each in folder.glob(part))
    if not files:
        pytest.skip(f"{folder} has no {', '.join(parts)}: make real fetches them")
    guards = [
        {"kind": each["kind"], "name": each["metadata"]["name"], "merge": {"webhooks": None}}
        for each in documents(files)
        if each["kind"].endswith("WebhookConfiguration")
    ]
    return {"name": step_name, "sources": [{"file": str(each)} for each in files], "edits": guards, **more}


def documents(files: Iterable[Path]) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for file in files for each in yaml.load_all(file.read_text(), Loader=loader) if each]


def count(step: dict[str, Any]) -> int:
    return len(documents(Path(each["file"]) for each in step["sources"]))


def test_knative_1_21_1(newer: Running, tmp_path: Path) -> None:
    platform = Platform(newer, tmp_path)
    knative = released("Knative Serving 1.21.1", "knative-serving-v0.48.1-*/config/**/*.yaml")
    go_through(platform, [knative], make_foreign(platform), count(knative))


def test_kserve_0_20_0_and_its_model_servers(newer: Running, tmp_path: Path) -> None:
    """With the parts for language models and local copies of models, which the real cluster is without."""
    platform = Platform(newer, tmp_path)
    install = "kserve-v0.20.0-*/install/v0.20.0"
    # Its namespace, which its manifests leave to others, was there before, and so stays.
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kserve"}}
    kserve = released("KServe 0.20.0", f"{install}/kserve.yaml", definitions=[home])
    servers = released("model servers", f"{install}/kserve-cluster-resources.yaml", namespace="kserve")
    made = 3 + count(kserve) + count(servers)
    go_through(platform, [NEEDED, kserve, servers], make_foreign(platform, home), made)


def let_through(platform: Platform, configuration: str) -> None:
    """What the owner of a webhook does that cannot answer."""
    kind = platform.api.resource("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
    found = platform.api.get(kind.path(name=configuration))
    for each in found["webhooks"]:
        each["failurePolicy"] = "Ignore"
    platform.api.replace(kind.path(name=configuration), found)


def test_kfserving_is_refused_where_its_kinds_are_no_longer_served(newer: Running, tmp_path: Path) -> None:
    platform = Platform(newer, tmp_path, run_id="upstream-old")
    refused = platform.install(NEEDED, step("KFServing 0.6.1", "kfserving-v0.6.1.yaml"))
    assert refused["failed"] is True
    assert refused["msg"].startswith("Nothing was changed")
    assert (
        "does not serve MutatingWebhookConfiguration (admissionregistration.k8s.io/v1beta1)" in refused["msg"]
    )
    assert "(it serves that group at admissionregistration.k8s.io/v1)" in refused["msg"]
    assert not platform.record.exists()
