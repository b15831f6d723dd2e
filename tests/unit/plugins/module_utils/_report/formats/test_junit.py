# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES
from ansible_collections.iter8.kfserving.tests.support import runs


def cases(folder: Path) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring((folder / "junit.xml").read_text())
    return {str(case.get("classname")).rpartition(".")[2]: case for case in root.iter("testcase")}


def test_junit_has_one_case_a_claim(tmp_path: Path) -> None:
    run = runs.lossy()
    run.own.update(state="aborted")
    publish(runs.judged(run, tmp_path))
    found = cases(tmp_path)
    assert list(found) == [rule.name for rule in RULES]
    failure = found["nothing_lost"].find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("27 of 1800 requests were lost")
    error = found["load_complete"].find("error")
    assert error is not None
    assert (error.get("type"), error.text) == (
        "inconclusive",
        "the load test did not end properly: it is aborted",
    )
    assert found["latency_kept"].find("skipped") is not None
    assert len(found["expected_winner"]) == 0
    root = ElementTree.fromstring((tmp_path / "junit.xml").read_text())
    suite = root[0]
    # No objective was given, of three; there was no gateway's log and one generator, and no driver of ours.
    wanted = {"tests": str(len(RULES)), "failures": "1", "errors": "1", "skipped": "8", "time": "90.000"}
    assert {key: suite.get(key) for key in wanted} == wanted
    assert (root.get("failures"), root.get("errors")) == ("1", "1")
    assert suite.get("timestamp") == "2027-01-15T08:00:00"
    assert [child.tag for child in suite if child.tag != "testcase"] == [
        "properties",
        "system-out",
        "system-err",
    ]


def test_junit_puts_all_findings_of_a_claim_into_one_case(tmp_path: Path) -> None:
    publish(runs.judged(runs.nothing(), tmp_path))
    error = cases(tmp_path)["evidence_complete"].find("error")
    assert error is not None
    assert str(error.text).count("\n") == 3
