# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates of query gates, asked of a real Prometheus that scrapes counters of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.evidence import (
    Prometheus,
    Queries,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.spec import parse_gates
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.templates import TEMPLATES

from ...support.prometheus import scraping
from ...support.sandbox import Running
from ...support.waiting import until

NAMES = {"canary": "m-00002", "baseline": "m-00001", "name": "m", "namespace": "models"}
# Of four requests of the baseline one fails; the canary has none that failed, so not even a series of them.
ANSWERS = (("m-00001", "200", 3), ("m-00001", "503", 1), ("m-00002", "200", 1))
# So long each took, as a histogram with these buckets has it.
TOOK = (("0.1", 0.0), ("0.5", 1.0), ("+Inf", 1.0))


class Counters:
    """Counters that go up with each scrape, under the names of each of the sources."""

    def __init__(self) -> None:
        self.scrapes = 0

    def __call__(self) -> str:
        self.scrapes += 1
        return "".join(f"{series} {value}\n" for series, value in self._series())

    def _series(self) -> Iterator[tuple[str, float]]:
        for revision, code, each in ANSWERS:
            n = each * self.scrapes
            who = f'kn_revision_name="{revision}"'
            took = "kn_serving_invocation_duration_seconds"
            yield f'{took}_count{{{who}, http_response_status_code="{code}"}}', n
            yield from self._took(took, f'{who}, http_response_status_code="{code}"', n)
            who = f'destination_service_namespace="models", destination_workload="{revision}-deployment"'
            took = "istio_request_duration_milliseconds"
            yield f'{took}_count{{{who}, response_code="{code}"}}', n
            yield from self._took(took, f'{who}, response_code="{code}"', n)
            cluster = f'envoy_cluster_name="models/{revision}", envoy_response_code_class="{code[0]}"'
            yield f"envoy_cluster_upstream_rq_xx{{{cluster}}}", n
            if code == "200":
                yield from self._took("request_predict_seconds", f'pod="{revision}-deployment-x"', n)

    @staticmethod
    def _took(name: str, labels: str, n: float) -> Iterator[tuple[str, float]]:
        for bound, share in TOOK:
            yield f'{name}_bucket{{{labels}, le="{bound}"}}', share * n


@pytest.fixture(scope="module")
def prometheus(sandbox: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A server of the test's own; the program is the sandbox's, which has obtained it."""
    counters = Counters()
    folder = tmp_path_factory.mktemp("prometheus")
    with scraping(folder, "counters", "text/plain; version=0.0.4", counters) as url:
        server = Prometheus(url)
        until(lambda: server.value("min_over_time(up[1s])")[0] == 1, 30, "Prometheus to scrape")
        until(lambda: counters.scrapes > 4, 30, "some scrapes")
        yield server


@pytest.mark.sandbox
@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_a_template_gives_the_canarys_value_and_the_baselines(prometheus: Prometheus, template: str) -> None:
    gates = parse_gates([{"type": "query", "template": template, "max": 1}])
    (measured,) = Queries(gates, prometheus, lambda: 0.0).due(NAMES).values()
    assert measured.problem == ""
    if template.endswith("-failures"):
        assert (measured.value, measured.baseline) == (0.0, pytest.approx(0.25, abs=0.01))
    else:
        # All in the bucket from 0.1 to 0.5: 99 % of the way.
        assert (measured.value, measured.baseline) == (pytest.approx(0.496, abs=0.01),) * 2


@pytest.mark.sandbox
@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_of_a_revision_that_nobody_asks_there_is_no_value(prometheus: Prometheus, template: str) -> None:
    gates = parse_gates([{"type": "query", "template": template, "max": 1}])
    (measured,) = Queries(gates, prometheus, lambda: 0.0).due({**NAMES, "canary": "m-00003"}).values()
    assert measured.value is None
    assert measured.problem
