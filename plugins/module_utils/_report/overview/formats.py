# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of several rollouts: a page and Markdown with the worst first, JUnit and JSON in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from html import escape
from urllib.parse import quote
from xml.etree import ElementTree

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import (
    count,
    elapsed,
    utc,
    utc_date,
)

from ..files import as_json
from ..formats.markdown import MARK, table, text
from ..formats.page import document
from ..formats.tables import SIGNS, Html
from ..formats.tables import mark as signed
from ..formats.tables import table as html_table
from ..material import TITLES
from .judged import WORST_FIRST, Judged, grade, sentence

SCHEMA = 1
SUITE = "iter8.kfserving.rollouts"


def _ordered(rollouts: Sequence[Judged]) -> list[Judged]:
    return sorted(rollouts, key=lambda each: WORST_FIRST.index(each.grade))


def _gap(rollout: Judged) -> str:
    seconds = rollout.verdict.get("longest_success_gap_seconds")
    return "–" if seconds is None else elapsed(seconds)


def page(rollouts: Sequence[Judged]) -> str:
    """report.html: one row a rollout, with a link to its own page."""
    whole = grade(rollouts)
    title = f"{TITLES[whole]}: {count(len(rollouts), 'rollout')}"
    tiles = "".join(
        f'<div class="tile {look}"><dt>{escape(label)}</dt><dd><span class="big">{escape(big)}</span>'
        f'<span class="small">{escape(small)}</span></dd></div>'
        for label, big, small, look in _tiles(rollouts)
    )
    head = (
        f'<header class="{whole}">\n<p class="kicker">Rollouts</p>\n'
        f'<h1><span aria-hidden="true">{SIGNS[whole]}</span> {escape(title)}</h1>\n'
        f"<p>{escape(sentence(rollouts))}.</p>\n"
        f'<dl class="tiles">{tiles}</dl>\n<p class="small soft">{escape(_when(rollouts))}</p>\n</header>'
    )
    heads = ("Rollout", "Verdict", "Requests#", "Failed#", "Loss rate below#", "Longest gap#", "Why")
    rows = [
        (
            _link(each),
            Html(signed(each.grade, TITLES[each.grade].lower())),
            each.requests,
            each.failed,
            each.bound,
            _gap(each),
            "; ".join(each.why),
        )
        for each in _ordered(rollouts)
    ]
    note = "<p class='small soft'>With 95 % confidence each true loss rate is below the one given.</p>"
    body = f"<section>\n<h2>Each rollout</h2>\n{html_table('', heads, rows)}{note}\n</section>"
    return document(title, [head, body])


def _link(rollout: Judged) -> Html:
    to = quote(os.path.join(rollout.folder, "report.html"))
    return Html(f'<a href="{escape(to)}">{escape(rollout.name)}</a>')


def _tiles(rollouts: Sequence[Judged]) -> list[tuple[str, str, str, str]]:
    looks = {"fail": "bad", "inconclusive": "unsure", "pass": ""}
    found = []
    for one in WORST_FIRST:
        names = [each.name for each in rollouts if each.grade == one]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        found.append(
            (TITLES[one].capitalize(), str(len(names)), shown or "none", looks[one] if names else "")
        )
    return found


def _when(rollouts: Sequence[Judged]) -> str:
    spans = [each.span for each in rollouts if each.span[1]]
    if not spans:
        return ""
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    return f"Load for {elapsed(end - start)} from {utc_date(start)}, {utc(start)}."


def markdown(rollouts: Sequence[Judged]) -> str:
    """summary.md: a heading, the sentence, one row a rollout."""
    whole = grade(rollouts)
    rows = [
        (
            each.name,
            f"{SIGNS[each.grade]} {each.grade}",
            each.requests,
            each.failed,
            each.bound,
            "; ".join(each.why),
        )
        for each in _ordered(rollouts)
    ]
    heads = ("Rollout", "Verdict", "Requests#", "Failed#", "Loss rate below#", "Why")
    parts = [f"### {SIGNS[whole]} {TITLES[whole]}", f"{text(sentence(rollouts))}.", table(heads, rows), MARK]
    return printable_lines("\n\n".join(parts) + "\n")


def junit(rollouts: Sequence[Judged]) -> str:
    """junit.xml: one case a rollout, in the order of the list; each rollout's claims are in its own file."""
    cases = []
    for each in rollouts:
        start, end = each.span
        about = {"name": each.name, "classname": f"{SUITE}.{each.name}", "time": f"{end - start:.3f}"}
        case = ElementTree.Element("testcase", about)
        tag = {"fail": "failure", "inconclusive": "error"}.get(each.grade)
        if tag:
            body = ElementTree.SubElement(case, tag, {"message": each.why[0], "type": each.grade})
            body.text = "\n".join(each.why)
        cases.append(case)
    kinds = [case[0].tag if len(case) else "" for case in cases]
    counts = {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
    }
    spans = [each.span for each in rollouts if each.span[1]] or [(0.0, 0.0)]
    start = min(span[0] for span in spans)
    time = f"{max(span[1] for span in spans) - start:.3f}"
    root = ElementTree.Element("testsuites", {"name": SUITE, **counts, "time": time})
    about = {
        "name": SUITE,
        "package": SUITE,
        "id": "0",
        "hostname": "localhost",
        "timestamp": f"{datetime.fromtimestamp(int(start), tz=timezone.utc):%Y-%m-%dT%H:%M:%S}",
        **counts,
        "skipped": "0",
        "time": time,
    }
    suite = ElementTree.SubElement(root, "testsuite", about)
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", {"name": "verdict", "value": grade(rollouts)})
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = sentence(rollouts)
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(root)
    whole = ElementTree.tostring(root, encoding="unicode")
    return printable_lines(f'<?xml version="1.0" encoding="UTF-8"?>\n{whole}\n')


def json_summary(rollouts: Sequence[Judged]) -> str:
    """summary.json: the whole and each rollout, in the order of the list."""
    return as_json(
        {
            "schema": SCHEMA,
            "verdict": grade(rollouts),
            "summary": sentence(rollouts),
            "counts": {one: sum(each.grade == one for each in rollouts) for one in reversed(WORST_FIRST)},
            "requests": sum(each.requests for each in rollouts),
            "failed": sum(each.failed for each in rollouts),
            "rollouts": [each.as_dict() for each in rollouts],
        }
    )


WRITERS: dict[str, Callable[[Sequence[Judged]], str]] = {
    "report.html": page,
    "summary.md": markdown,
    "junit.xml": junit,
    "summary.json": json_summary,
}
