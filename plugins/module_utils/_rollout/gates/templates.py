# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries for the metrics that today's gateways and servers give, by the name of a template.

$canary, $baseline (revisions, or Deployments where there are none), $name and $namespace are put in. Each is
a pair: the canary's and the baseline's.
"""

from __future__ import annotations


def _share(failed: str, every: str) -> str:
    """The share of failures. Who never failed has no series of failures: their share is 0 as long as there is
    traffic, and without any there is no value."""
    total = f"sum(rate({every}[1m]))"
    return f"(sum(rate({failed}[1m])) or 0 * {total}) / {total}"


_P99 = "histogram_quantile(0.99, sum by (le) (rate({metric}_bucket{{{who}}}[1m])))"

# Knative from 1.19 on (OpenTelemetry; off by default, and the revision is a resource attribute that the
# collector must be told to make a label of); Istio's standard metrics; Envoy's own, where the cluster carries
# the revision's name as Kourier's does; KServe's Python model server, which knows the pod alone.
_SOURCES = {
    "knative": (
        "kn_serving_invocation_duration_seconds",
        "_count",
        'kn_revision_name="{who}"',
        "http_response_status_code",
    ),
    "istio": (
        "istio_request_duration_milliseconds",
        "_count",
        'destination_service_namespace="$namespace", destination_workload=~"{who}(-deployment)?"',
        "response_code",
    ),
}


def _pairs() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for source, (metric, count, selector, code) in _SOURCES.items():
        asked = [selector.replace("{who}", side) for side in ("$canary", "$baseline")]
        series = f"{metric}{count}"
        failed = [_share(f'{series}{{{who}, {code}=~"5.."}}', f"{series}{{{who}}}") for who in asked]
        slow = [_P99.format(metric=metric, who=who) for who in asked]
        found[f"{source}-failures"] = (failed[0], failed[1])
        found[f"{source}-p99"] = (slow[0], slow[1])
    envoy = 'envoy_cluster_upstream_rq_xx{envoy_cluster_name=~".*'
    every = [f'{envoy}{who}"' for who in ("$canary", "$baseline")]
    rates = [_share(f'{each}, envoy_response_code_class="5"}}', f"{each}}}") for each in every]
    found["envoy-failures"] = (rates[0], rates[1])
    slow = [
        _P99.format(metric="request_predict_seconds", who=f'pod=~"{who}-.*"')
        for who in ("$canary", "$baseline")
    ]
    found["kserve-p99"] = (slow[0], slow[1])
    return found


TEMPLATES = _pairs()
