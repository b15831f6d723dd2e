# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard and its page ask for metrics that are written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.formats.openmetrics import openmetrics
from ansible_collections.iter8.kfserving.plugins.module_utils._report.material import gather
from ansible_collections.iter8.kfserving.tests.support import runs
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

DASHBOARD = json.loads((ROOT / "docs/dashboards/rollout-dashboard.json").read_text())
# What Prometheus adds to what it scrapes.
ADDED = {"job", "instance"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Each metric of a run with losses, with the labels that it has."""
    folder: Path = tmp_path_factory.mktemp("metrics")
    found: dict[str, set[str]] = {}
    for line in openmetrics(gather(runs.judged(runs.lossy(), folder))).splitlines():
        sample = re.match(r"([a-z_]+)(?:\{(.*)\})? \S+$", line)
        if sample and not line.startswith("#"):
            found[sample[1]] = set(re.findall(r'(\w+)="', sample[2] or ""))
    return found


def queries() -> list[tuple[str, str]]:
    """Each panel's query with its legend, and those of the variables."""
    asked = [
        (t["expr"], t["legendFormat"]) for panel in DASHBOARD["panels"] for t in panel.get("targets", [])
    ]
    return asked + [(v["definition"], "") for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]


@pytest.mark.parametrize(("expression", "legend"), queries())
def test_a_query_asks_for_what_is_written(expression: str, legend: str, written: dict[str, set[str]]) -> None:
    names = set(re.findall(r"\brollout_\w+(?=[{,])", expression))
    assert len(names) == 1
    labels = written[names.pop()] | ADDED
    asked = set(re.findall(r"\{\{(\w+)\}\}", legend)) | set(re.findall(r"(\w+)=~?\"", expression))
    asked |= {each for by in re.findall(r"by \(([^)]*)\)", expression) for each in by.split(", ")}
    assert asked - labels == set()


def test_every_metric_is_on_the_dashboard_and_on_its_page(written: dict[str, set[str]]) -> None:
    asked = " ".join(expression for expression, _legend in queries())
    assert [name for name in written if not re.search(rf"\b{name}\b", asked)] == []
    page = (ROOT / "docs/guides/dashboards.md").read_text()
    rows = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in
            re.findall(r"^\| `(rollout_\w+)` \|([^|]*)\|", page, re.MULTILINE)}  # fmt: skip
    assert rows == written


def test_panels_have_places_of_their_own() -> None:
    taken: dict[tuple[int, int], str] = {}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert (x, y) not in taken, f"{panel['title']} lies over {taken.get((x, y))}"
                taken[x, y] = panel["title"]
