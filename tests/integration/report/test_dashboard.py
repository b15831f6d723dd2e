# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard's queries, asked of a real Prometheus that scrapes a run's metrics.txt as it was written.

Grafana itself is not to be had here: that it draws what Prometheus answers is taken from its documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.formats.openmetrics import openmetrics
from ansible_collections.iter8.kfserving.plugins.module_utils._report.material import Material, gather

from ...support import runs
from ...support.places import ROOT
from ...support.prometheus import scraping
from ...support.sandbox import Running
from ...support.waiting import until

DASHBOARD = json.loads((ROOT / "docs/dashboards/rollout-dashboard.json").read_text())
PANELS = {panel["title"]: panel["targets"][0] for panel in DASHBOARD["panels"] if panel.get("targets")}
JOB = "rollout"
Shown = dict[str, float]


class Asked:
    """What a panel shows: each series' legend with its value."""

    def __init__(self, url: str, run: Material) -> None:
        self._url = url
        self.run = run

    def get(self, path: str, **query: str) -> Any:
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(query)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def panel(self, title: str, job: str = ".*") -> Shown:
        target = PANELS[title]
        rows = self.get("query", query=target["expr"].replace("$job", job))["result"]
        return {self._legend(target["legendFormat"], row["metric"]): float(row["value"][1]) for row in rows}

    def _legend(self, form: str, labels: dict[str, str]) -> str:
        """As Grafana fills it in, nothing for an empty label; `__auto` of one series is the panel's title."""
        if form == "__auto":
            return ""
        return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), form)


@pytest.fixture(scope="module")
def asked(sandbox: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    run = gather(runs.judged(runs.lossy(), tmp_path_factory.mktemp("run")))
    # As docs/guides/dashboards.md has it for a push gateway.
    kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    folder = tmp_path_factory.mktemp("prometheus")
    with scraping(folder, JOB, kind, lambda: openmetrics(run)) as url:
        found = Asked(url, run)
        until(lambda: _scraped(found), 30, "Prometheus to scrape")
        yield found


def _scraped(asked: Asked) -> bool:
    try:
        rows = asked.get("query", query="up")["result"]
    except OSError:
        return False
    return [row["value"][1] for row in rows] == ["1"]


@pytest.mark.sandbox
@pytest.mark.parametrize("title", PANELS)
def test_a_panel_shows_something_and_nothing_of_another_job(asked: Asked, title: str) -> None:
    assert asked.panel(title)
    assert asked.panel(title, JOB) == asked.panel(title)
    assert asked.panel(title, "another") == {}


@pytest.mark.sandbox
def test_what_the_panels_show_is_what_the_run_was(asked: Asked) -> None:
    raw = asked.run.raw
    assert asked.panel("Verdict") == {"fail": 1}
    assert asked.panel("Requests") == {"": raw["requests"]}
    assert asked.panel("Lost") == {"": raw["failed"]}
    lost = {name: count for name, count in asked.panel("By class").items() if count}
    assert lost == {name: count for name, count in raw["classes"].items() if count}
    modes = {name: row["failed"] for name, row in raw["connection_modes"].items()}
    assert asked.panel("By kind of connection") == modes
    assert sum(asked.panel("Requests by revision").values()) == raw["requests"]
    gaps = {name: row["longest_success_gap"]["seconds"] for name, row in raw["connection_modes"].items()}
    assert asked.panel("Longest gap by kind of connection") == gaps
    assert asked.panel("Longest gap between successes") == {"": raw["longest_success_gap"]["seconds"]}
    assert 0 < asked.panel("Loss rate below")[""] < 1


@pytest.mark.sandbox
def test_the_job_is_chosen_among_those_that_there_are(asked: Asked) -> None:
    (variable,) = (each for each in DASHBOARD["templating"]["list"] if each["type"] == "query")
    of = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert of
    assert asked.get(f"label/{of[2]}/values", **{"match[]": of[1]}) == [JOB]
