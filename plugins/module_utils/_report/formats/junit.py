# SPDX-License-Identifier: GPL-3.0-or-later
"""junit.xml: one case a claim, and one a gate and step. Inconclusive is an error, for it is not a pass and
not a failure of the service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from xml.etree import ElementTree

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES

from ..material import Material

_SUITE = "iter8.kfserving.rollout"
_PROPERTIES = ("verdict", "requests", "failed", "loss_rate_upper_bound_95", "longest_success_gap_seconds")


def junit(material: Material) -> str:
    """The verdict as JUnit XML, in the order that the common schemas ask for."""
    claims = {claim["rule"]: claim for claim in material.verdict.get("claims", [])}
    load = material.load
    cases = [_case(rule.name, rule.claim, claims.get(rule.name)) for rule in RULES]
    cases += [_case("gate", *gate) for gate in _gates(material)]
    return suite(
        _SUITE,
        cases,
        start=load.started if load else 0,
        seconds=load.duration if load else 0,
        verdict={name: material.verdict.get(name) for name in _PROPERTIES},
        out=material.verdict["summary"],
    )


def suite(
    name: str,
    cases: Sequence[ElementTree.Element],
    *,
    start: float,
    seconds: float,
    verdict: Mapping[str, Any],
    out: str,
) -> str:
    """The whole file, with one suite that began at `start`, in epoch seconds."""
    kinds = [case[0].tag if len(case) else "" for case in cases]
    counts = {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
    }
    time = f"{seconds:.3f}"
    root = ElementTree.Element("testsuites", {"name": name, **counts, "time": time})
    about = {
        "name": name,
        "package": name,
        "id": "0",
        "hostname": "localhost",
        "timestamp": f"{datetime.fromtimestamp(int(start), tz=timezone.utc):%Y-%m-%dT%H:%M:%S}",
        **counts,
        "skipped": str(kinds.count("skipped")),
        "time": time,
    }
    whole = ElementTree.SubElement(root, "testsuite", about)
    properties = ElementTree.SubElement(whole, "properties")
    for key, value in verdict.items():
        shown = "" if value is None else str(value)
        ElementTree.SubElement(properties, "property", {"name": key, "value": shown})
    whole.extend(cases)
    ElementTree.SubElement(whole, "system-out").text = out
    ElementTree.SubElement(whole, "system-err")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return printable_lines(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def tell(case: ElementTree.Element, verdict: str, texts: Sequence[str]) -> None:
    """What the case came to, where it is no pass."""
    tag = {"fail": "failure", "inconclusive": "error"}.get(verdict)
    if tag:
        body = ElementTree.SubElement(case, tag, {"message": texts[0], "type": verdict})
        body.text = "\n".join(texts)


def _gates(material: Material) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The last word of each gate at each step of a driven rollout, as a claim and what was found.

    The outcomes are those of the verdict: a gate that failed where the canary was meant to be rolled back has
    done what it is for.
    """
    last: dict[str, Mapping[str, Any]] = {}
    for row in (material.verdict.get("driver") or {}).get("gates", []):
        last[f"Gate {row['gate']} at {row['percent']} %"] = row
    for claim, row in last.items():
        found = row["verdict"] if row["verdict"] in ("fail", "inconclusive") else "pass"
        if material.grade == "pass":
            found = "pass"
        elif material.grade == "inconclusive" and found == "fail":
            found = "inconclusive"
        yield claim, {"verdict": found, "findings": [{"text": row["message"], "verdict": found}]}


def _case(name: str, claim: str, found: Mapping[str, Any] | None) -> ElementTree.Element:
    case = ElementTree.Element("testcase", {"name": claim, "classname": f"{_SUITE}.{name}", "time": "0"})
    if found is None:
        ElementTree.SubElement(
            case, "skipped", {"message": "does not apply, or there is no evidence to check it by"}
        )
        return case
    tell(case, found["verdict"], [f["text"] for f in found["findings"] if f["verdict"] != "pass"])
    return case
