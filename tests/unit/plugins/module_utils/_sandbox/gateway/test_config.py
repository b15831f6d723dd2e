# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.gateway import config

ENDPOINTS = {"ns/r1": [("127.9.0.2", 8080)], "ns/r2": []}
HOSTS = {"a.ns.example.com": {"ns/r1": 99, "ns/r2": 1}, "b.ns.example.com": {"ns/r2": 100}}


def find(node: Any, key: str) -> list[Any]:
    """All values under a key, anywhere."""
    if isinstance(node, dict):
        here = [node[key]] if key in node else []
        return here + [value for child in node.values() for value in find(child, key)]
    if isinstance(node, list):
        return [value for child in node for value in find(child, key)]
    return []


def test_documents_read_back_as_they_were_written() -> None:
    assert config.endpoints_of(config.cds_document(ENDPOINTS)) == ENDPOINTS
    assert config.hosts_of(config.rds_document(HOSTS)) == HOSTS
    assert config.endpoints_of(config.cds_document({})) == {}
    assert config.hosts_of(config.rds_document({})) == {}


def test_weight_zero_is_left_out() -> None:
    assert config.hosts_of(config.rds_document({"h": {"ns/r1": 100, "ns/r2": 0}})) == {"h": {"ns/r1": 100}}


def test_version_follows_the_content_alone() -> None:
    reordered = dict(reversed(HOSTS.items()))
    assert config.rds_document(HOSTS) == config.rds_document(reordered)
    versions = {
        config.rds_document(hosts)["version_info"]
        for hosts in (HOSTS, {}, {"b.ns.example.com": {"ns/r1": 100}})
    }
    assert len(versions) == 3


def test_route_matches_its_host_with_any_port_and_nothing_else() -> None:
    assert find(config.rds_document({"h": {"ns/r1": 100}}), "domains") == [["h", "h:*"]]


def test_answers_name_the_revision_without_replacing_the_models_own_header() -> None:
    (headers,) = find(config.rds_document({"h": {"ns/r1": 100}}), "response_headers_to_add")
    assert headers == [
        {"header": {"key": "x-revision", "value": "r1"}, "append_action": "ADD_IF_ABSENT"},
    ]


def test_nothing_in_the_gateway_retries_or_sheds() -> None:
    rds = config.rds_document(HOSTS)
    assert find(rds, "retry_policy") == []
    assert find(rds, "validate_clusters") == [True]
    for limit in find(config.cds_document(ENDPOINTS), "max_pending_requests"):
        assert limit >= 1_000_000


def test_bootstrap_stays_on_the_pods_address() -> None:
    document = config.bootstrap("127.9.0.7", "/xds", "/log")
    sockets = {(address["address"], address["port_value"]) for address in find(document, "socket_address")}
    assert sockets == {("127.9.0.7", config.HTTP_PORT), ("127.9.0.7", config.ADMIN_PORT)}
    sources = [source["path"] for source in find(document, "path_config_source")]
    assert sorted(sources) == ["/xds/cds.json", "/xds/rds.json"]
    (fields,) = find(document, "json_format")
    assert {"time", "status", "flags", "cluster", "request_id", "duration_ms"} <= set(fields)
    assert not any("COOKIE" in value or "AUTHORIZATION" in value for value in fields.values())


@pytest.mark.parametrize(("namespace", "revision"), [("default", "r"), ("a-b", "r-c")])
def test_cluster_names_lead_back_to_the_revision(namespace: str, revision: str) -> None:
    assert config.revision_of(config.cluster_name(namespace, revision)) == revision


def test_share_without_a_backend_is_answered_with_500() -> None:
    hosts = {"h": {config.NO_BACKEND: 25, "ns/r1": 75}, "i": {config.NO_BACKEND: 100}}
    rds = config.rds_document(hosts)
    assert config.hosts_of(rds) == hosts
    first, second = rds["resources"][0]["virtual_hosts"][0]["routes"]
    assert first["direct_response"] == {"status": 500}
    assert first["match"]["runtime_fraction"]["default_value"] == {
        "numerator": 2500,
        "denominator": "TEN_THOUSAND",
    }
    assert [cluster["name"] for cluster in second["route"]["weighted_clusters"]["clusters"]] == ["ns/r1"]
