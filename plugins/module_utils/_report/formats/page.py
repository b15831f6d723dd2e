# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html: one file that needs no network, with the verdict first and everything behind it below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.causes import sentence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import (
    count,
    elapsed,
    in_phases,
    rate_below,
    utc,
    utc_date,
)

from ..charts.histogram import histogram_chart, histograms, summary
from ..charts.timeline import timeline_chart
from ..material import Material
from . import driven, tables
from .style import STYLE

WIDE, NARROW = 1040, 360
_TIMED = "<p class='small soft'>Timed from the moment at which each request was to be sent.</p>"


def page(material: Material) -> str:
    """The whole page. The same material gives the same text."""
    sections = [
        _header(material),
        _reasons(material),
        _section("Over time", _charts(material)),
        _section("Failed requests", _losses(material)),
        _section("What happened around them", _causes(material)),
        _section("By phase", tables.phases(material) if material.verdict.get("phases") else ""),
        _section("By revision and connection", _by_whom(material)),
        _section("Response times", _response_times(material)),
        _section("Streamed answers", _streamed(material)),
        _section("The Experiment's objectives", _objectives(material)),
        _section("What the driver did, and why", driven.steps(material)),
        _section("Every claim, and its evidence", tables.claims(material)),
        _section("What this does not tell", _not_covered(material)),
        _section("Events", _events(material)),
        _section("Run it again", _rerun(material)),
    ]
    return document(f"{material.title}: rollout of {material.subject or 'a model'}", sections)


def document(title: str, sections: Sequence[str]) -> str:
    """The page of these sections, which are markup; empty ones are left out."""
    return printable_lines(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # By it the file is known again, and no other of its name is deleted.
        '<meta name="generator" content="iter8.kfserving">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def _header(material: Material) -> str:
    load = material.load
    return header(
        material.grade,
        f"Rollout of {material.subject or 'a model'}",
        f'{material.title}: <span class="answer">{escape(_answer(material))}</span>',
        _sentence(material.verdict["summary"]),
        tiles=_tiles(material),
        when=under_load(load.started, load.duration) if load else "",
    )


Tile = tuple[str, str, str, str]
"""What it tells, the answer, more of it, and how it looks."""


def header(grade: str, kicker: str, title: str, summary: str, *, tiles: Iterable[Tile], when: str) -> str:
    """What stands first on a page. The title is markup, the others are text."""
    shown = "".join(
        f'<div class="tile {look}"><dt>{escape(label)}</dt><dd><span class="big">{escape(big)}</span>'
        f'<span class="small">{escape(small)}</span></dd></div>'
        for label, big, small, look in tiles
    )
    return (
        f'<header class="{grade}">\n<p class="kicker">{escape(kicker)}</p>\n'
        f'<h1><span aria-hidden="true">{tables.SIGNS[grade]}</span> {title}</h1>\n'
        f"<p>{escape(summary)}</p>\n"
        f'<dl class="tiles">{shown}</dl>\n<p class="small soft">{escape(when)}</p>\n</header>'
    )


def under_load(start: float, seconds: float) -> str:
    """From when the load ran, in epoch seconds, and for how long."""
    return f"Load for {elapsed(seconds)} from {utc_date(start)}, {utc(start)}."


def _answer(material: Material) -> str:
    """What the verdict comes down to, in brief."""
    load = material.load
    lost = load.failed - load.client_faults if load else 0
    losses = f"{count(lost, 'request')} lost" if lost else "no request lost"
    return {
        "pass": f"{losses}, which was allowed" if lost else losses,
        "fail": losses if lost else "nothing lost, but it did not go as it should",
        "inconclusive": "not proven",
    }[material.grade]


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:] + "."


def _tiles(material: Material) -> list[Tile]:
    """What was lost, when, from which revision; where nothing was, what that proves and how it ended."""
    load = material.load
    if load is None:
        return [("Requests", "unknown", "there is no load test to count them", "unsure")]
    lost = load.failed - load.client_faults
    if lost > 0:
        return [_what(material, lost), _when(material), _whence(material)]
    bound = rate_below(material.verdict["loss_rate_upper_bound_95"])
    least = material.verdict.get("thresholds", {}).get("min_requests", 0)
    few = "unsure" if load.requests < least else ""
    return [
        ("Lost requests", f"0 of {load.requests}", f"loss rate below {bound} with 95 % confidence", few),
        ("Longest gap between successes", elapsed(load.gap.seconds), f"from {utc(load.gap.start)}", ""),
        _end(material),
    ]


def _what(material: Material, lost: int) -> Tile:
    load = material.load
    classes = Counter(row.label for row in material.losses())
    named = ", ".join(f"{n} × {name}" for name, n in classes.most_common(4))
    total = load.requests if load else 0
    return ("What was lost", f"{lost} of {count(total, 'request')}", named, "bad")


def _when(material: Material) -> Tile:
    losses = material.losses()
    if not losses:
        return ("When", "unknown", "there are no records of the failures", "bad")
    first, last = losses[0].at, losses[-1].at
    span = last - first
    big = utc(first)[:12] if span < 1 else f"{utc(first)[:8]} to {utc(last)[:8]}"
    within = f"within {elapsed(span)}; " if 0 < span < 1 else ""
    by_phase = Counter(material.facts.phase_of(row.at) for row in losses)
    return ("When (UTC)", big, within + in_phases(by_phase, 3), "bad")


def _whence(material: Material) -> Tile:
    by_revision = Counter(row.revision for row in material.losses() if row.revision)
    if not by_revision:
        return ("From which revision", "not named", "no failed request named a revision", "bad")
    unnamed = len(material.losses()) - sum(by_revision.values())
    name, most = by_revision.most_common(1)[0]
    role = material.facts.roles.get(name, "another revision")
    big = role + (" and others" if len(by_revision) > 1 else "") + (" and unknown" if unnamed else "")
    parts = [f"{most} by {name}", *(f"{n} by {other}" for other, n in by_revision.most_common(3)[1:])]
    parts += [f"{unnamed} by none that was named"] if unnamed else []
    return ("From which revision", big, "; ".join(parts), "bad")


def _end(material: Material) -> Tile:
    outcome = material.facts.experiment
    service = material.facts.service
    if outcome is None:
        return ("The rollout", "unknown", "there is no Experiment", "unsure")
    split = service.traffic if service else {}
    roles = material.facts.roles
    ended = ", ".join(f"{percent} % {roles.get(name, name)}" for name, percent in sorted(split.items()))
    big = "canary promoted" if split == {material.facts.canary: 100} else "canary not promoted"
    small = f"after {count(outcome.iterations, 'iteration')}" + (
        f"; traffic ended at {ended}" if ended else ""
    )
    expected = material.verdict.get("thresholds", {}).get("expect_winner", "canary")
    bad = big == "canary not promoted" and expected == "canary"
    return ("The rollout", big, small, "bad" if bad else "")


def _reasons(material: Material) -> str:
    reasons = material.verdict.get("reasons", [])
    if not reasons:
        return ""
    items = "".join(
        f'<li class="{grade}">{tables.mark(grade, "")}{escape(_sentence(message))}</li>'
        for grade, message in ((reason["verdict"], reason["text"]) for reason in reasons)
    )
    title = "Why it is not a pass" if material.grade != "pass" else "Reasons"
    pages = "".join(f" <code>{escape(page)}</code>" for page in material.verdict.get("runbooks", []))
    advice = f'<p class="small soft">What to do, in the collection:{pages}</p>' if pages else ""
    return _section(title, f'<ul class="reasons">{items}</ul>{advice}')


def _charts(material: Material) -> str:
    wide, narrow = timeline_chart(material, WIDE), timeline_chart(material, NARROW)
    if not wide:
        return "<p>There is no load test to show.</p>"
    load = material.load
    unobserved = material.facts.marks.unobserved_until(load.ended) if load else ()
    pale = " Pale: nothing watched the traffic then." if unobserved else ""
    more = ' <span class="chip outage"></span>outage' if load and load.lasting_outages else ""
    more += ' <span class="chip stall"></span>load generator stood still' if load and load.stalls else ""
    keys = (
        '<p class="small"><span class="chip baseline"></span>baseline '
        f'<span class="chip canary"></span>canary{more}. All times are UTC.{pale} '
        "The same in numbers stands under By phase.</p>"
    )
    return f'{keys}<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def _losses(material: Material) -> str:
    load = material.load
    if load is None or not load.failed:
        return ""
    shown = tables.losses(material)
    left = load.failed - min(len(load.ledger), tables.MOST_LOSSES)
    message = f"{count(left, 'failed request')} more {'is' if left == 1 else 'are'} not shown here"
    more = f"<p>{message}; load.json has what was recorded.</p>" if left else ""
    outages = f"<h3>Outages</h3>{tables.outages(material)}" if load.lasting_outages else ""
    return _waits(material) + shown + more + outages


def _waits(material: Material) -> str:
    """How the losses lie, and how long the clients waited for them."""
    load = material.load
    if load is None or not load.waits:
        return ""
    lasting = sum(row.get("failed", 0) for row in load.lasting_outages)
    alone = max(0, load.failed - lasting)
    parts = [f"{lasting} of them in {count(len(load.lasting_outages), 'outage')}"] if lasting else []
    parts += [f"{alone} between requests that were answered"] if alone else []
    waited = f"their clients waited from {elapsed(load.waits[0])} to {elapsed(load.waits[-1])}"
    return f"<p>{escape(_sentence('; '.join([*parts, waited])))}</p>"


def _causes(material: Material) -> str:
    items = "".join(
        f"<li>{escape(utc(cause['from'])[:12])}: {escape(sentence(cause))}</li>"
        for cause in material.verdict.get("causes", [])
    )
    note = "<p class='small soft'>What happened around a loss need not be why. Nearest first.</p>"
    return f"<ul>{items}</ul>{note}" if items else ""


def _by_whom(material: Material) -> str:
    if not material.load:
        return ""
    return (
        tables.revisions(material)
        + tables.connection_modes(material)
        + tables.payloads(material)
        + tables.generators(material)
    )


def _response_times(material: Material) -> str:
    shown = _times(material, material.raw, "response_time", "Response times", "request")
    return shown + _TIMED if shown else ""


def _streamed(material: Material) -> str:
    """Of streamed answers: how long until the first token came, and each of the others."""
    times = material.raw.get("streamed")
    first = _times(material, times, "first_token", "First tokens", "first token")
    gaps = _times(material, times, "token_gap", "Gaps between tokens", "gap")
    return f"<h3>First tokens</h3>{first}{_TIMED}<h3>Gaps between tokens</h3>{gaps}" if first or gaps else ""


def _times(material: Material, times: Any, name: str, title: str, what: str) -> str:
    """The histograms of some times, in words and drawn; empty where there are none."""
    rows = histograms(material, times, name)
    if not rows:
        return ""
    summaries = "".join(
        f"<p class='small'>{escape(of)}: {escape(summary(h, what))}.</p>" for of, _unused, h in rows
    )
    wide, narrow = (histogram_chart(rows, width, title, what) for width in (WIDE, NARROW))
    return f'{summaries}<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def _objectives(material: Material) -> str:
    return tables.objectives(material) if material.verdict.get("objectives") else ""


def _not_covered(material: Material) -> str:
    items = "".join(f"<li>{escape(message)}</li>" for message in material.verdict.get("not_covered", []))
    return f"<ul>{items}</ul>" if items else ""


def _events(material: Material) -> str:
    moments = material.facts.moments
    if not moments:
        return ""
    return f"<details><summary>{count(len(moments), 'event')}</summary>{tables.events(material)}</details>"


def _rerun(material: Material) -> str:
    return f"<pre><code>{escape(material.rerun)}</code></pre>" if material.rerun else ""
