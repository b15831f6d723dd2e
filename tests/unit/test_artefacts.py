# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of artefacts finds each of them broken, and nothing wrong with whole ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result.result import build, public_options
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.snapshot import snapshot
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.tally import Tally
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.tests.support import artefacts, rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run

Json = dict[str, Any]


OBSERVED: list[Json] = [
    {"time": 1.5, "feed": "pod", "type": "present", "object": {"kind": "Pod", "metadata": {"name": "p"}}},
    {"time": 2.5, "feed": "pod", "type": "unobserved", "from": 1.6, "to": 2.4, "why": "no answer"},
    {"time": 2.6, "feed": "event", "type": "refused", "message": "events is forbidden"},
    {"time": 3.0, "type": "clock", "low": -0.1, "high": 0.2},
    {"time": 3.6, "feed": "pod", "type": "unobserved", "from": 2.6, "to": 3.5, "why": "x", "unchanged": True},
    {"time": 4.0, "type": "killed", "from": 4.0, "why": "the observer was killed"},
]


def complete(run: Run) -> Run:
    """The run with every key that a real load's result has, where verdicts do not need them."""
    options = public_options(Options("http://127.7.0.9:8080/v1/models/my-model:predict", name="rollout"))
    bare = build(options, "stopped", snapshot(Tally(0, START * 10**9, 100, True)), [], [])
    assert run.load is not None
    own = {**bare["LoadTest"], **run.own}
    run.load = {**bare, **run.load, "LoadTest": own}
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts of a run with losses."""
    folder = tmp_path_factory.mktemp("artefacts")
    run = complete(rollouts.good(20))
    rollouts.lose(run, 26.5)
    publish({**runs.judged(run, folder), "rerun": "make e2e"})
    (folder / "observations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in OBSERVED))
    return folder


def test_whole_artefacts_have_no_problem(whole: Path) -> None:
    assert artefacts.problems(whole) == []


def test_a_missing_artefact_is_a_problem(tmp_path: Path) -> None:
    assert artefacts.problems(tmp_path) == [f"{name}: it is missing" for name in artefacts.CHECKS]


def test_an_artefact_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_bytes(b"\xff\xfe")
    assert any(words.startswith("summary.md: it cannot be read") for words in artefacts.problems(tmp_path))


def changed(change: Callable[[Json], Any]) -> Callable[[str], str]:
    """A change of what is in a JSON file."""

    def apply(text: str) -> str:
        value = json.loads(text)
        change(value)
        return json.dumps(value)

    return apply


def replaced(old: str, new: str) -> Callable[[str], str]:
    def apply(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return apply


def own(change: Callable[[Json], Any]) -> Callable[[str], str]:
    return changed(lambda value: change(value["LoadTest"]))


def event(number: int, change: Callable[[Json], Any]) -> Callable[[str], str]:
    """A change of one line of the timeline."""

    def apply(text: str) -> str:
        lines = text.splitlines()
        lines[number] = changed(change)(lines[number])
        return "\n".join(lines) + "\n"

    return apply


BROKEN: list[tuple[str, Callable[[str], str], str]] = [
    ("verdict.json", lambda text: text[:-10], "it is not JSON"),
    ("verdict.json", changed(lambda v: v.pop("summary")), "'summary' is a required property"),
    ("verdict.json", changed(lambda v: v.update(requests="9000")), "'9000' is not of type 'integer'"),
    ("verdict.json", changed(lambda v: v.update(verdict="good")), "'good'"),
    ("verdict.json", changed(lambda v: v.update(verdict="pass")), "$.reasons"),
    ("verdict.json", changed(lambda v: v.update(more=1)), "'more' was unexpected"),
    ("verdict.json", replaced('"failed": 1', '"failed": NaN'), "NaN is not JSON"),
    ("verdict.json", changed(lambda v: v["phases"][0].update(start="now")), "'now' is not of type 'number'"),
    ("verdict.json", changed(lambda v: v["claims"][0]["findings"].clear()), "$.claims[0].findings"),
    ("verdict.json", changed(lambda v: v.update(outages=[{"failed": 1}])), "required property"),
    ("load.json", changed(lambda v: v.pop("RetCodes")), "'RetCodes' is a required property"),
    ("load.json", changed(lambda v: v.update(Payload="secret")), "'' was expected"),
    ("load.json", own(lambda v: v.pop("stalls")), "'stalls' is a required property"),
    ("load.json", own(lambda v: v.update(started=12)), "12 is less than or equal to the minimum"),
    ("load.json", own(lambda v: v["ledger"][0].update({"class": "odd"})), "'odd' is not one of"),
    ("load.json", own(lambda v: v["ledger"][0].pop("request_id")), "'request_id' is a required property"),
    ("load.json", own(lambda v: v["timeline"][3].update(ok=1.5)), "1.5 is not of type 'integer'"),
    ("observations.jsonl", event(0, lambda v: v["object"].pop("kind")), "line 1"),
    ("observations.jsonl", event(1, lambda v: v.update({"to": "later"})), "line 2"),
    ("observations.jsonl", event(3, lambda v: v.pop("high")), "line 4"),
    ("timeline.jsonl", lambda text: text[:-1], "the last line has no end"),
    ("timeline.jsonl", lambda _unused: "", "it tells nothing"),
    ("timeline.jsonl", lambda text: "nonsense\n" + text, "line 1: it is not JSON"),
    ("timeline.jsonl", event(2, lambda v: v.pop("time")), "line 3: $: 'time' is a required property"),
    ("timeline.jsonl", event(0, lambda v: v.update(event="load_stared")), "line 1"),
    ("timeline.jsonl", event(1, lambda v: v["data"].update(traffic={"a": "100"})), "line 2"),
    ("experiment.json", lambda _unused: "[]", "it is not an object"),
    ("experiment.json", changed(lambda v: v.update(kind="Pod")), "it is not of kind Experiment"),
    ("inferenceservice.json", changed(lambda v: v["metadata"].pop("name")), "it has no name"),
    ("inferenceservice.json", lambda text: text[:-5], "it is not JSON"),
    ("junit.xml", lambda text: text[:-20], "it is not XML"),
    ("junit.xml", replaced(' hostname="localhost"', ""), "hostname"),
    ("junit.xml", replaced("<system-err />", "<system-error />"), "system-error"),
    ("junit.xml", replaced('time="0"', 'time="soon"'), "time"),
    ("junit.xml", replaced('failures="1"', 'failures="2"'), "tells 2 failures, there are 1"),
    (
        "junit.xml",
        replaced(".gap_short", ".nothing_lost"),
        "two cases are iter8.kfserving.rollout.nothing_lost",
    ),
    ("report.html", replaced("</main>", ""), "Unclosed element \u201cmain\u201d"),
    ("report.html", replaced("<h1>", "<h1 role=nothing>"), "role"),
    (
        "report.html",
        replaced("<main>", "<main><script></script>"),
        "it may fetch or run something: '<script'",
    ),
    ("report.html", replaced("<main>", '<main style="background:url(x)">'), "it may fetch"),
    ("report.html", replaced("<style>", "<style>{"), "CSS: Parse Error"),
    ("metrics.txt", replaced("# EOF\n", ""), "it does not end with # EOF"),
    ("metrics.txt", replaced("_total{", "_sum{"), "it is not OpenMetrics text"),
    ("metrics.txt", lambda text: text.replace("rollout_verdict", "x"), "there is no rollout_verdict"),
    ("summary.md", lambda text: text[2:], "it does not begin with a heading"),
    ("summary.md", lambda text: text + "\n<b>bold</b>\n", "raw HTML: '<b>'"),
    ("summary.md", replaced("| --- |", "| - - |"), "a table is not one"),
]


@pytest.mark.parametrize(("name", "change", "words"), BROKEN)
def test_a_broken_artefact_is_a_problem(
    whole: Path, name: str, change: Callable[[str], str], words: str
) -> None:
    found = list(artefacts.CHECKS[name](change((whole / name).read_text())))
    assert any(words in problem for problem in found), found


def test_each_artefact_is_broken_at_least_once() -> None:
    assert {name for name, _unused, _unused in BROKEN} == set(artefacts.CHECKS)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "load.json",
            own(lambda v: v.update(requests=1)),
            "verdict.json: 1800 requests, where load.json tells 1",
        ),
        ("junit.xml", replaced('value="fail"', 'value="pass"'), "junit.xml: the verdict is pass"),
        ("junit.xml", lambda text: re.sub("(</?)failure", r"\1error", text), "junit.xml: its outcomes"),
        ("metrics.txt", lambda text: text.replace('"pass"} 0', '"pass"} 1'), "metrics.txt: the verdict is"),
        ("report.html", lambda text: text.replace("FAIL", "PASS"), "report.html: it does not tell"),
        ("summary.md", lambda text: text.replace("FAIL", "PASS"), "summary.md: it does not tell"),
    ],
)
def test_artefacts_of_two_runs_do_not_agree(
    whole: Path, tmp_path: Path, name: str, change: Callable[[str], str], words: str
) -> None:
    for path in whole.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    assert list(artefacts.disagreements(tmp_path)) == []
    (tmp_path / name).write_text(change((whole / name).read_text()))
    assert any(words in problem for problem in artefacts.disagreements(tmp_path))


@pytest.mark.parametrize("name", runs.RUNS)
def test_every_report_is_well_formed_whatever_the_evidence(name: str, tmp_path: Path) -> None:
    publish(runs.judged(runs.RUNS[name](), tmp_path))
    for file in ("verdict.json", "junit.xml", "report.html", "metrics.txt", "summary.md"):
        assert list(artefacts.CHECKS[file]((tmp_path / file).read_text())) == [], file


def marks() -> list[tuple[str, dict[str, Any]]]:
    """What the roles' and playbooks' tasks write into the timeline, each with its file's name."""
    found: list[tuple[str, dict[str, Any]]] = []

    def look(name: str, node: Any) -> None:
        for each in node if isinstance(node, list) else ():
            given = each.get("iter8.kfserving.timeline_mark", {})
            if "event" in given:
                found.append((name, given))
            for block in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
                look(name, each.get(block))

    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        look(path.name, yaml.safe_load(path.read_text()))
    return found


def test_what_a_playbook_marks_is_what_the_timelines_schema_knows() -> None:
    schema = json.loads((ROOT / "docs/schemas/timeline-event.schema.json").read_text())
    known = {}
    for shape in (one["properties"] for one in schema["oneOf"]):
        if shape["source"].get("const") == "playbook":
            event = shape["event"]
            known.update({name: shape["data"] for name in event.get("enum", [event.get("const")])})
    assert {given["event"] for _name, given in marks()} == known.keys()
    for name, given in marks():
        data, shape = given.get("data", {}), known[given["event"]]
        assert data.keys() - shape.get("properties", {}).keys() == set(), f"{name}: {given['event']}"
        assert set(shape.get("required", [])) - data.keys() == set(), f"{name}: {given['event']}"
