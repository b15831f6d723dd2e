# SPDX-License-Identifier: GPL-3.0-or-later
"""The access logs of gateways: a line of each, as its documentation has it, with values of our own."""

from __future__ import annotations

import json

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.request import ID_DIGITS, new_run_id
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import (
    AccessLog,
    Ids,
    LogReader,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.aliases import (
    deployments_of,
    pods_of,
    renamed_log,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.formats import (
    FORMATS,
    named,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.trimmed_log import Trimmer
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.trim import trim
from ansible_collections.iter8.kfserving.tests.support import standard
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

ID = "000000000000ab12-0000000001"
AT = "2026-11-28T08:00:01.900Z"
POD = "10.244.0.97"
ENVOY = (
    f'[{AT}] "POST /v1/models/m:predict HTTP/1.1" 503 UH 40 19 150 149 "10.0.0.1" "load/1" "{ID}" '
    f'"m.default.example.com" "{POD}:8012"'
)
# What users are told to set as config-kourier's service-access-log-template.
KOURIER_TEMPLATE = next(
    line.strip()
    for line in (ROOT / "docs/rollouts.md").read_text(encoding="utf-8").splitlines()
    if "%UPSTREAM_CLUSTER%" in line
)
LINES = {
    "kept": json.dumps(
        {
            "request_id": ID, "start_time": AT, "duration": 150, "response_code": 503, "response_flags": "UH",
            "upstream_cluster": POD,
        }
    ),
    "istio": json.dumps(
        {
            "request_id": ID, "start_time": AT, "duration": 150, "response_code": 503, "response_flags": "UH",
            "upstream_cluster": "outbound|80||m-predictor-00001.default.svc.cluster.local",
        }
    ),
    "kourier": KOURIER_TEMPLATE.replace("%REQ(X-REQUEST-ID)%", ID)
    .replace("%START_TIME%", AT)
    .replace("%DURATION%", "150")
    .replace("%RESPONSE_CODE%", "503")
    .replace("%RESPONSE_FLAGS%", "UH")
    .replace("%UPSTREAM_CLUSTER%", "default/m-predictor-00001"),
    "istio_text": (
        f'[{AT}] "POST /v1/models/m:predict HTTP/1.1" 503 UH no_healthy_upstream - "-" 40 19 150 - '
        f'"10.0.0.1" "load/1" "{ID}" "m.default.example.com" "-" '
        "outbound|80||m-predictor-00001.default.svc.cluster.local - 10.0.0.2:8080 10.0.0.1:1 - -"
    ),
    "envoy": ENVOY,
    "envoy_gateway": json.dumps(
        {
            "start_time": AT, "method": "POST", "response_code": 503, "response_flags": "UH", "duration": 150,
            "x-request-id": ID, "upstream_host": f"{POD}:8080",
            "upstream_cluster": "httproute/default/m/rule/0",
        }
    ),
    "traefik": json.dumps(
        {
            "StartUTC": AT, "Duration": 150_000_000, "DownstreamStatus": 503, "request_X-Request-Id": ID,
            "ServiceAddr": f"{POD}:8080", "ServiceName": "default-m-predictor-80",
        }
    ),
}  # fmt: skip
PODS = [
    {
        "object": {
            "kind": "Pod",
            "metadata": {"name": "p", "labels": {"serving.knative.dev/revision": "m-predictor-00001"}},
            "status": {"podIP": POD},
        }
    }
]


def read(gateway: str, *lines: str) -> AccessLog:
    reader = LogReader(FORMATS[gateway], [Ids("000000000000ab12-", 1, 100)], (ID,))
    for one in lines:
        reader.add(one.encode() + b"\n")
    return renamed_log(reader.log(), pods_of(PODS))


def torn(line: str) -> str:
    return line[: line.index(ID) + len(ID)] if "{" not in line else line[:-1]


def test_there_is_a_line_of_each() -> None:
    assert set(LINES) == set(FORMATS)


@pytest.mark.parametrize("gateway", sorted(FORMATS))
def test_a_line_tells_who_was_asked_when_and_how_it_ended(gateway: str) -> None:
    log = read(gateway, LINES[gateway], LINES[gateway].replace(ID, "somebody-else"))
    assert (log.lines, log.unread, log.requests) == (2, 0, 1)
    assert log.statuses == {"503": 1}
    assert log.revisions == {"m-predictor-00001": 1}
    # 150 ms later it was the next second.
    (second,) = log.seconds
    assert second % 60 == 2
    assert log.entries[ID].flags == ("" if gateway == "traefik" else "UH")


@pytest.mark.parametrize("gateway", sorted(FORMATS))
def test_a_torn_line_is_one_that_belongs_and_cannot_be_read(gateway: str) -> None:
    assert read(gateway, torn(LINES[gateway])).unread == 1


@pytest.mark.parametrize("gateway", sorted(set(FORMATS) - {"kept"}))
def test_what_is_kept_of_a_line_tells_the_same_and_nothing_else(gateway: str) -> None:
    kept = Trimmer(FORMATS[gateway]).cut(LINES[gateway].encode())
    said = json.dumps(kept)
    assert read("kept", said) == read(gateway, LINES[gateway])
    assert not any(word in said for word in (":predict", "example.com", "load/1", "10.0.0."))


@pytest.mark.parametrize("gateway", sorted(set(FORMATS) - {"kept"}))
@pytest.mark.parametrize(
    "foreign", ["9f0c", "000000000000ab12-00000000011", "000000000000AB12-0000000001", "", "-"]
)
def test_of_other_requests_and_of_torn_lines_nothing_is_kept(gateway: str, foreign: str) -> None:
    trimmer = Trimmer(FORMATS[gateway])
    assert trimmer.cut(LINES[gateway].replace(ID, foreign).encode()) is None
    assert trimmer.cut(torn(LINES[gateway]).encode()) is None
    assert trimmer.cut(b"\xff{}") is None


@pytest.mark.parametrize("address", ["10.96.4.2", "fd00::4"])
def test_a_revisions_own_service_is_known_by_its_address(address: str) -> None:
    labels = {"serving.knative.dev/revision": "m-predictor-00002"}
    whole = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "m-predictor-00002", "labels": labels},
        "spec": {"clusterIP": address, "selector": {"secret": "x"}},
    }  # fmt: skip
    headless = {**whole, "spec": {"clusterIP": "None"}}
    rows = [{"object": trim(each)} for each in (whole, headless)]
    assert pods_of([*PODS, *rows])[address] == "m-predictor-00002"
    assert "None" not in pods_of(rows)


@pytest.mark.parametrize("address", ["10.0.0.7:80", "[fd00::7]:80"])
def test_a_pod_is_known_by_its_address_in_either_family(address: str) -> None:
    line = LINES["envoy"].replace(f"{POD}:8012", address)
    assert list(read("envoy", line).revisions) == [address.rpartition(":")[0].strip("[]")]


def test_an_address_that_pods_of_two_revisions_had_tells_nobody() -> None:
    again = json.loads(json.dumps(PODS[0]))
    again["object"]["metadata"] = {
        "name": "q",
        "labels": {"serving.knative.dev/revision": "m-predictor-00002"},
    }
    naming = pods_of([*PODS, again])
    assert naming == {"p": "m-predictor-00001", "q": "m-predictor-00002", POD: ""}
    reader = LogReader(FORMATS["envoy"], [Ids("000000000000ab12-", 1, 100)], (ID,))
    reader.add(LINES["envoy"].encode())
    assert renamed_log(reader.log(), naming).revisions == {"": 1}


def test_a_user_may_name_fields_of_json_but_not_of_text() -> None:
    assert named("istio", {"status": "code"}, "").fields["status"] == "code"
    assert named("envoy_gateway", {}, "(x)").revision == "(x)"
    with pytest.raises(ValueError, match="no fields that could be named"):
        named("envoy", {"status": "code"}, "")


def test_a_service_that_is_named_is_the_revision_of_its_deployment_if_there_was_one() -> None:
    line = LINES["istio"].replace("m-predictor-00001", "m-predictor")
    reader = LogReader(FORMATS["istio"], [Ids("000000000000ab12-", 1, 100)], (ID,))
    reader.add(line.encode())
    rows = [{"object": standard.replicaset("m-predictor-aaa")}]
    assert renamed_log(reader.log(), deployments_of(rows)).revisions == {"m-predictor-aaa": 1}
    rows += [{"object": standard.replicaset("m-predictor-bbb", revision=2)}]
    log = renamed_log(reader.log(), deployments_of(rows))
    assert (log.revisions, log.entries[ID].revision) == ({"": 1}, "")


def test_a_load_gives_its_requests_ids_by_which_they_are_kept() -> None:
    said = LINES["istio"].replace(ID, f"{new_run_id()}-{1:0{ID_DIGITS}}")
    assert Trimmer(FORMATS["istio"]).cut(said.encode()) is not None
