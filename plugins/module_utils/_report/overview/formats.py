# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of several rollouts: a page and Markdown with the worst first, JUnit and JSON in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from html import escape
from urllib.parse import quote
from xml.etree import ElementTree

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import count, elapsed

from ..files import as_json
from ..formats.junit import suite, tell
from ..formats.markdown import MARK, table, text
from ..formats.page import Tile, document, header, under_load
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
    summary = f"{sentence(rollouts)}."
    head = header(whole, "Rollouts", escape(title), summary, tiles=_tiles(rollouts), when=_when(rollouts))
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


def _tiles(rollouts: Sequence[Judged]) -> list[Tile]:
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
    start, end = _span(rollouts)
    return under_load(start, end - start) if end else ""


def _span(rollouts: Sequence[Judged]) -> tuple[float, float]:
    """From when to when any of them was under load, in epoch seconds; zeros where that is not known."""
    spans = [each.span for each in rollouts if each.span[1]] or [(0.0, 0.0)]
    return min(span[0] for span in spans), max(span[1] for span in spans)


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
        tell(case, each.grade, each.why)
        cases.append(case)
    start, end = _span(rollouts)
    return suite(
        SUITE,
        cases,
        start=start,
        seconds=end - start,
        verdict={"verdict": grade(rollouts)},
        out=sentence(rollouts),
    )


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
