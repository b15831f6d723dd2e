# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import (
    COMPLETE_STATES,
    Lost,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.flags import meaning
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import elapsed, utc

from ..material import TITLES, Material

MOST_LOSSES = 500
MOST_GENERATORS = 50
MOST_PAYLOADS = 20


class Html(str):
    """Text that is markup already."""


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], look: str = "") -> str:
    """A table that scrolls by itself where it is too wide. Numbers are set right; text is escaped.

    A head that ends in `#` belongs to a column of numbers; `look` is the table's class.
    """
    right = [head.endswith("#") for head in heads]
    top = "".join(_cell("th", head.rstrip("#"), n, ' scope="col"') for head, n in zip(heads, right))
    body = "".join(f"<tr>{''.join(_cells(row, right))}</tr>" for row in rows)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    whole = (
        f"<table{look and f' class={look}'}>{named}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )
    return f'<div class="scroll" tabindex="0">{whole}</div>'


def _cells(row: Sequence[Any], right: Sequence[bool]) -> Iterator[str]:
    if len(row) != len(right):
        raise ValueError(f"a row of {len(row)} under {len(right)} heads")
    return (_cell("td", cell, n) for cell, n in zip(row, right))


def _cell(kind: str, content: Any, right: bool, more: str = "") -> str:
    shown = content if isinstance(content, Html) else escape("–" if content is None else str(content))
    return f"<{kind}{more}{' class=' + chr(34) + 'n' + chr(34) if right else ''}>{shown}</{kind}>"


def phases(material: Material) -> str:
    """Requests and losses by phase."""
    rows = [
        (
            phase["name"],
            phase["requests"],
            phase["failed"],
            utc(phase["start"])[:12],
            elapsed(phase["end"] - phase["start"]),
            ", ".join(f"{role} {weight} %" for role, weight in phase["weights"].items()),
        )
        for phase in material.verdict.get("phases", [])
    ]
    heads = ("Phase", "Requests#", "Lost#", "From (UTC)", "Length", "Weights")
    return table("Requests by whole seconds, as they ended; losses as they were sent.", heads, rows, "tight")


def revisions(material: Material) -> str:
    """Requests and losses by revision."""
    rows: list[tuple[Any, ...]] = []
    for name, row in material.verdict.get("revisions", {}).items():
        role = row["role"]
        label = Html(f'<span class="chip {escape(role)}"></span>{escape(name or "(not named)")}')
        rows.append((label, role if name else "", row["requests"], row["failed"]))
    return table("", ("Revision", "Role", "Requests#", "Lost#"), rows)


def connection_modes(material: Material) -> str:
    """Requests, losses and the longest gap between successes by kind of connection."""
    rows = []
    for name, row in material.verdict.get("connection_modes", {}).items():
        gap = row["longest_success_gap_seconds"]
        rows.append((name, row["requests"], row["failed"], None if gap is None else elapsed(gap)))
    return table("", ("Connections", "Requests#", "Lost#", "Longest gap#"), rows)


def payloads(material: Material) -> str:
    """Requests and losses by payload, where there are several: those that lost most first."""
    rows = sorted(material.verdict.get("payloads", {}).items(), key=lambda item: -item[1]["failed"])
    if not rows:
        return ""
    shown = [(name, row["requests"], row["failed"]) for name, row in rows[:MOST_PAYLOADS]]
    left = [row for _name, row in rows[MOST_PAYLOADS:]]
    if left:
        name = f"{len(left)} others"
        shown.append((name, sum(row["requests"] for row in left), sum(row["failed"] for row in left)))
    return table("", ("Payload", "Requests#", "Lost#"), shown)


def generators(material: Material) -> str:
    """The generators that sent the load together, where there were several; those with a fault first."""
    parts = (material.verdict.get("generator") or {}).get("generators", [])
    rows = sorted(parts, key=lambda row: row["state"] in COMPLETE_STATES and not row["problem"])
    shown = []
    for row in rows[:MOST_GENERATORS]:
        clock = row["clock_offset"]
        known = "not compared" if clock is None else f"{clock['low']:+.3f} to {clock['high']:+.3f} s"
        ended = f"{row['state']}: {row['problem']}" if row["problem"] else row["state"]
        late = elapsed(row["lateness_p99"])
        shown.append(
            (row["name"], ended, row["requests"], late, elapsed(row["longest_stall_seconds"]), known)
        )
    if len(rows) > MOST_GENERATORS:
        more = rows[MOST_GENERATORS:]
        shown.append((f"{len(more)} others", "", sum(row["requests"] for row in more), "", "", ""))
    heads = ("Generator", "Ended", "Requests#", "99 % sent within", "Stood still", "Clock ahead")
    return table("", heads, shown) if shown else ""


def objectives(material: Material) -> str:
    """The Experiment's objectives."""
    rows = []
    for row in material.verdict.get("objectives", []):
        limits = [f"at most {row['upper_limit']:g}"] if row["upper_limit"] is not None else []
        limits += [f"at least {row['lower_limit']:g}"] if row["lower_limit"] is not None else []
        value = "no data" if row["value"] is None else f"{row['value']:.4g}"
        met = {True: mark("pass", "met"), False: mark("fail", "missed")}.get(row["met"], "not assessed")
        rows.append((row["metric"], " and ".join(limits), row["role"], value, met))
    return table("", ("Objective", "Limit", "Version", "Value#", "Outcome"), rows)


def claims(material: Material) -> str:
    """Every rule that applied, with what it found."""
    rows = []
    for claim in material.verdict.get("claims", []):
        found = Html("<br>".join(escape(finding["text"]) for finding in claim["findings"]))
        rows.append((mark(claim["verdict"], TITLES[claim["verdict"]].lower()), claim["claim"], found))
    return table("", ("Outcome", "Claim", "Evidence"), rows, "stack")


def losses(material: Material) -> str:
    """Every failed request, up to a number that a page can bear."""
    payload = ("Payload",) if _several_payloads(material) else ()
    tokens = ("Tokens#",) if _are_streamed(material) else ()
    heads = (
        "No.#",
        "Sent (UTC)",
        "Class",
        "Revision",
        "Phase",
        "Took#",
        *tokens,
        "Connection",
        "Address",
        "Request id",
        *payload,
        "Detail",
    )
    return table("", heads, [_loss(material, lost) for lost in material.losses()[:MOST_LOSSES]], "tight")


def _loss(material: Material, lost: Lost) -> tuple[Any, ...]:
    raw = lost.raw
    end = raw.get("end")
    took = elapsed(end - lost.at) if isinstance(end, (int, float)) else None
    reuse = raw.get("reuse")
    connection = f"{raw.get('connection')}, {lost.connection_mode}" + (f" {reuse} ×" if reuse else "")
    detail = " ".join(str(raw[key]) for key in ("errno", "detail") if raw.get(key))
    if lost.flags:
        detail += f"; the gateway: {meaning(lost.flags)}"
    elif lost.logged is False:
        detail += "; not in the gateway's log"
    return (
        raw.get("seq"),
        utc(lost.at)[:12],
        lost.label,
        _short(material, lost.revision),
        material.facts.phase_of(lost.at),
        took,
        *([raw.get("tokens")] if _are_streamed(material) else []),
        connection,
        raw.get("peer"),
        _ids(raw),
        *([lost.payload or None] if _several_payloads(material) else []),
        detail or None,
    )


def _several_payloads(material: Material) -> bool:
    return bool(material.load and material.load.payloads)


def _are_streamed(material: Material) -> bool:
    return bool(material.load and material.load.streamed)


def _ids(raw: Mapping[str, Any]) -> str | None:
    """The id of the answer, and the one that was sent where a gateway gave its own."""
    answered, sent = raw.get("request_id"), raw.get("sent_id")
    return f"{answered}, sent as {sent}" if answered and sent and answered != sent else answered or sent


def _short(material: Material, revision: str) -> Html:
    """A revision by its role and the end of its name; the whole name shows on hovering."""
    role = material.facts.roles.get(revision)
    label = f"{role} …{revision.rpartition('-')[2]}" if role else revision or "not named"
    chip = f'<span class="chip {role}"></span>' if role else ""
    return Html(f'<span title="{escape(revision)}">{chip}{escape(label)}</span>')


def outages(material: Material) -> str:
    """The outages of several sends in a row, from the last success sent before to the first sent after."""
    load = material.load
    rows = []
    for row in load.lasting_outages if load else ():
        first, end, waited = (row.get(key) for key in ("first_failed_send", "recovered", "longest_wait"))
        known = isinstance(first, (int, float)) and isinstance(end, (int, float))
        length = elapsed(float(end or 0) - float(first or 0)) if known else "not recovered"
        times = (_time(row.get("last_success")), _time(first), _time(end), length)
        longest = elapsed(waited) if isinstance(waited, (int, float)) else None
        rows.append((row.get("connection_mode"), *times, row.get("failed"), longest))
    heads = (
        "Connections",
        "Last success",
        "First failed send",
        "Recovered",
        "Length",
        "Lost#",
        "Longest wait#",
    )
    return table("Times of sending, in UTC.", heads, rows, "tight")


def events(material: Material) -> str:
    """The timeline's events."""
    rows = [(utc(m.time)[:12], m.source, m.text or m.event) for m in material.facts.moments]
    return table("", ("Time (UTC)", "Source", "Event"), rows)


def _time(value: Any) -> str | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return utc(value)[:12] if known else None


SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


def mark(grade: str, label: str) -> Html:
    """A coloured label with a sign, so that colour is never alone."""
    return Html(f'<b class="{grade}">{SIGNS[grade]} {escape(label)}</b> ')
