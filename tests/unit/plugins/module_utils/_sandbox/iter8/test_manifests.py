# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifests that deploy iter8 and Prometheus on the sandbox, and the quickstart's Experiment.

Where a copy of upstream's definitions is at hand (KFSERVING_UPSTREAM, else ../shared/upstream beside this
clone), our own are compared with them.
"""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.analytics import analysis
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8.spec import (
    unresolved_metrics,
    with_defaults,
)
from ansible_collections.iter8.kfserving.tests.support.places import ROOT, UPSTREAM

FILES = [ROOT / f"roles/sandbox/files/{name}.yaml" for name in ("iter8", "monitoring")]
DOCUMENTS = [document for path in FILES for document in yaml.safe_load_all(path.read_text())]


def of_kind(kind):
    return {doc["metadata"]["name"]: doc for doc in DOCUMENTS if doc["kind"] == kind}


def pods():
    for kind in ("Deployment", "StatefulSet"):
        for name, doc in of_kind(kind).items():
            yield name, doc["metadata"]["namespace"], doc["spec"]["template"]
    for name, text in of_kind("ConfigMap")["iter8-handlers"]["data"].items():
        yield name, "iter8-system", yaml.safe_load(text)["spec"]["template"]


def accepted(schema):
    """A schema without its descriptions; lists whose order means nothing are sorted."""
    if isinstance(schema, dict):
        return {
            key: sorted(value) if key in ("required", "enum") and isinstance(value, list) else accepted(value)
            for key, value in schema.items()
            if key != "description" or isinstance(value, dict)
        }
    return [accepted(entry) for entry in schema] if isinstance(schema, list) else schema


def test_everything_carries_iter8s_label():
    other = [d["metadata"]["name"] for d in DOCUMENTS if d["metadata"]["labels"].get("creator") != "iter8"]
    assert other == []


@pytest.mark.parametrize("name", ["experiments", "metrics"])
def test_our_definitions_accept_what_upstreams_accept(name):
    path = UPSTREAM / f"etc3-v0.1.1-alpha/iter8.tools_{name}.yaml"
    if not path.is_file():
        pytest.skip(f"{path} is not at hand")
    ours = of_kind("CustomResourceDefinition")[f"{name}.iter8.tools"]["spec"]
    theirs = yaml.safe_load(path.read_text())["spec"]
    for key in ("names", "scope", "group"):
        assert ours[key] == theirs[key]
    (ours,), (theirs,) = ours["versions"], theirs["versions"]
    assert ours["additionalPrinterColumns"] == theirs["additionalPrinterColumns"]
    assert ours.get("subresources", {}) == theirs.get("subresources", {})
    assert accepted(ours["schema"]) == accepted(theirs["schema"])


def test_the_metrics_are_upstreams_five():
    assert sorted(of_kind("Metric")) == [
        "95th-percentile-tail-latency",
        "error-count",
        "error-rate",
        "mean-latency",
        "request-count",
    ]
    counters = [name for name, metric in of_kind("Metric").items() if metric["spec"]["type"] == "counter"]
    assert sorted(counters) == ["error-count", "request-count"]


@pytest.mark.parametrize("name", sorted(of_kind("Metric")))
def test_a_metrics_query_can_be_filled_in(name):
    template = of_kind("Metric")[name]["spec"]["params"]["query"]
    query = analysis.query(template, {"name": "canary", "tags": {"revision": "r2"}}, 30)
    assert "$" not in query
    series = query.count("revision_app_request_latencies")
    assert series == query.count('revision_name="r2"') == query.count("[30s]") > 0
    assert ('response_code_class!="2xx"' in query) == name.startswith("error")


def test_every_service_account_and_role_exists():
    accounts = {(d["metadata"]["namespace"], name) for name, d in of_kind("ServiceAccount").items()}
    used = {(namespace, pod["spec"]["serviceAccountName"]) for _name, namespace, pod in pods()}
    assert used == accounts
    for kind in ("Role", "ClusterRole"):
        roles = {(d["metadata"].get("namespace"), name) for name, d in of_kind(kind).items()}
        bindings = of_kind(f"{kind}Binding").values()
        assert {(b["metadata"].get("namespace"), b["roleRef"]["name"]) for b in bindings} == roles
        for binding in bindings:
            assert {(s["namespace"], s["name"]) for s in binding["subjects"]} <= accounts


def test_no_right_is_unbounded():
    roles = [*of_kind("Role").values(), *of_kind("ClusterRole").values()]
    rules = [rule for role in roles for rule in role["rules"]]
    words = [word for rule in rules for key in ("verbs", "resources", "apiGroups") for word in rule[key]]
    assert words
    assert "*" not in words


@pytest.mark.parametrize("pod", [pytest.param(pod, id=name) for name, _namespace, pod in pods()])
def test_every_container_runs_a_module_that_exists(pod):
    for container in pod["spec"]["containers"]:
        assert container["image"] == "sandbox.iter8.kfserving/runtime"
        python, flag, module, *_unused = container["command"]
        assert (python, flag) == ("python3", "-m")
        relative = module.replace("ansible_collections.iter8.kfserving.", "").replace(".", "/")
        assert (ROOT / f"{relative}.py").is_file()


def test_the_handlers_are_the_ones_that_experiments_get():
    handlers = of_kind("ConfigMap")["iter8-handlers"]["data"]
    assert sorted(handlers) == ["finish.yaml", "start.yaml"]
    for text in handlers.values():
        spec = yaml.safe_load(text)["spec"]
        assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (4, 300)
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
    defaults = with_defaults({"strategy": {"type": "Canary"}})["strategy"]["handlers"]
    assert {f"{name}.yaml" for name in defaults.values()} == set(handlers)


def test_every_port_names_its_protocol():
    """Kubernetes 1.20 refuses a server-side apply of a port that does not."""
    ports = [port for service in of_kind("Service").values() for port in service["spec"]["ports"]]
    ports += [p for _n, _ns, pod in pods() for c in pod["spec"]["containers"] for p in c.get("ports", [])]
    assert len(ports) == 5
    assert {port.get("protocol") for port in ports} == {"TCP"}


def test_the_quickstarts_experiment():
    experiment = yaml.safe_load((ROOT / "samples/quickstart/experiment.yaml").read_text())
    spec = experiment["spec"]
    assert experiment["metadata"]["name"] == "experiment-1"
    assert spec["target"] == "default/my-model"
    assert spec["strategy"]["type"] == "Canary"
    assert spec["duration"] == {"intervalSeconds": 15, "maxIterations": 12}
    assert set(unresolved_metrics(spec)) <= set(of_kind("Metric"))
    path = UPSTREAM / "iter8-kfserving/samples/quickstart/experiment.yaml"
    if path.is_file():
        assert spec == yaml.safe_load(path.read_text())["spec"]
