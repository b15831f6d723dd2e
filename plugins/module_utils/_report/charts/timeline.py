# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollout over one time axis: phases, traffic split, request rate, response times, failures and
outages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.load import (
    Load,
    Second,
    Stall,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.messages import count, elapsed, utc
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.roles import CANARY

from ..material import Material
from . import svg

_RIGHT = 8
_BAND = 84
_STRIP = 24
_ROW = 30
_HEAD = 22
_GAP = 14
_MOST_ROWS = 6
_MOST_MARKS = 400


@dataclass(frozen=True)
class Bin:
    """Some seconds together. `rate` and `failed` are a second's, in the mean; times are seconds."""

    start: float
    length: float
    rate: float
    failed: float
    share: float | None
    p50: float | None
    p99: float | None


class Frame:
    """Where a time lies across a chart of this width."""

    def __init__(self, load: Load, width: float) -> None:
        self.width = width
        self.left = 54
        first = load.seconds[0].start if load.seconds else load.started
        last = load.seconds[-1].start + 1 if load.seconds else load.ended
        self.start = min(load.started, first)
        self.end = max(load.ended, last, self.start + 1)
        self.right = width - _RIGHT

    def x(self, time: float) -> float:
        """The place of a moment; outside the load, the nearer edge."""
        inside = min(max(time, self.start), self.end)
        return self.left + (inside - self.start) / (self.end - self.start) * (self.right - self.left)


def timeline_chart(material: Material, width: float) -> str:
    """The chart as SVG, drawn for a page of about this width; empty without a load test."""
    load = material.load
    if load is None:
        return ""
    frame = Frame(load, width)
    bins = bundle(load, material.facts.canary, int((frame.right - frame.left) / 4))
    parts: list[str] = []
    y = _phases(material, frame, parts)
    top = y
    y = _split(material, frame, bins, y, parts)
    y = _rate(frame, bins, y, parts)
    y = _latency(frame, bins, y, parts)
    # Over the bands, but not over the failures' marks, each of which tells its own story.
    parts += [_stall(frame, stall, top, y - top - _GAP) for stall in load.stalls]
    parts += [_outage(frame, outage, top, y - top - _GAP) for outage in load.lasting_outages]
    y = _failures(material, frame, y, parts)
    y = _axis(frame, y, parts)
    title = "The rollout over time"
    return svg.picture((width, y), "timeline", title, describe(material), parts)


def bundle(load: Load, canary: str, most: int) -> list[Bin]:
    """The seconds of the load, so many together that there are at most `most`."""
    rows = load.seconds
    size = max(1, -(-len(rows) // max(1, most)))
    return [_bin(rows[i : i + size], canary) for i in range(0, len(rows), size)]


def _bin(rows: tuple[Second, ...], canary: str) -> Bin:
    named = sum(n for row in rows for name, n in row.revisions.items() if name)
    answered = sum(row.revisions.get(canary, 0) for row in rows)
    middle = [row.p50 for row in rows if row.p50 is not None and row.requests]
    high = [row.p99 for row in rows if row.p99 is not None and row.requests]
    return Bin(
        start=rows[0].start,
        length=rows[-1].start + 1 - rows[0].start,
        rate=sum(row.requests for row in rows) / len(rows),
        failed=sum(row.failed for row in rows) / len(rows),
        share=answered / named if named and canary else None,
        p50=median(middle) if middle else None,
        p99=max(high) if high else None,
    )


def _phases(material: Material, frame: Frame, parts: list[str]) -> float:
    parts.append(svg.text(0, 14, "Phase: the canary's weight in percent", "title"))
    for index, counted in enumerate(material.facts.phases):
        phase = counted.phase
        x1, x2 = frame.x(phase.start), frame.x(phase.end)
        counts = f"{count(counted.requests, 'request')}, {counted.failed} lost"
        tip = f"{phase.name}, from {utc(phase.start)}: {counts}"
        parts.append(svg.rect(x1, _HEAD, (x2 - x1 - 1, _STRIP), f"phase{index % 2}", tip))
        label = short_name(phase.name)
        for shown in (label, label.removesuffix(" %")):
            if len(shown) * svg.LETTER < x2 - x1 - 3:
                parts.append(svg.text((x1 + x2) / 2, _HEAD + 16, shown, "label", "middle"))
                break
    return _HEAD + _STRIP + _GAP


def short_name(phase: str) -> str:
    """A phase's name for where there is little room."""
    return (
        phase.removeprefix("canary at ")
        .replace("before the canary", "before")
        .replace("an unknown weight", "?")
    )


def _band(frame: Frame, y: float, title: str, top_label: str, parts: list[str]) -> float:
    """Title, frame and scale of a band; returns where its box begins."""
    box = y + _HEAD - 4
    parts.append(svg.text(0, y + 10, title, "title"))
    parts.append(svg.line(frame.left, box, frame.right, box, "grid"))
    parts.append(svg.line(frame.left, box + _BAND, frame.right, box + _BAND, "base"))
    parts.append(svg.text(frame.left - 5, box + 10, top_label, "scale", "end"))
    parts.append(svg.text(frame.left - 5, box + _BAND, "0", "scale", "end"))
    return box


def _split(material: Material, frame: Frame, bins: list[Bin], y: float, parts: list[str]) -> float:
    if not (material.facts.marks.traffic and material.facts.phases):
        return y
    box = _band(frame, y, "Canary: weight as set, and (dots) share of answers", "100 %", parts)
    for counted in material.facts.phases:
        phase = counted.phase
        x1, x2 = frame.x(phase.start), frame.x(phase.end)
        height = _BAND * phase.weights.get(CANARY, 0) / 100
        parts.append(svg.rect(x1, box, (x2 - x1, _BAND - height), "baseline"))
        parts.append(svg.rect(x1, box + _BAND - height, (x2 - x1, height), "canary"))
    for begin, end in material.facts.marks.unobserved_until(frame.end):
        x1, x2 = frame.x(begin), frame.x(end)
        tip = f"not watched from {utc(begin)} to {utc(end)}: the weights are not exact"
        parts.append(svg.rect(x1, box, (x2 - x1, _BAND), "unobserved", tip))
    for one in bins:
        if one.share is not None:
            x = frame.x(one.start + one.length / 2)
            parts.append(svg.dot(x, box + _BAND * (1 - one.share), "share"))
    return box + _BAND + _GAP


def _rate(frame: Frame, bins: list[Bin], y: float, parts: list[str]) -> float:
    highest = max((one.rate for one in bins), default=0) or 1
    box = _band(frame, y, "Answers per second, and (red) failures", f"{highest:.4g}", parts)
    for one in bins:
        x1, x2 = frame.x(one.start), frame.x(one.start + one.length)
        height, lost = _BAND * one.rate / highest, _BAND * one.failed / highest
        wide = max(x2 - x1 - 0.5, 0.5)
        parts.append(svg.rect(x1, box + _BAND - height, (wide, height), "answers"))
        if lost:
            # One failure among thousands must still be seen.
            parts.append(svg.rect(x1, box + _BAND - max(lost, 4), (wide, max(lost, 4)), "failed"))
    return box + _BAND + _GAP


def _latency(frame: Frame, bins: list[Bin], y: float, parts: list[str]) -> float:
    highest = max((one.p99 or 0 for one in bins), default=0) or 1
    box = _band(frame, y, "Response time: median, and (thin) 99th percentile", elapsed(highest), parts)
    for look in ("p99", "p50"):
        points = [
            (frame.x(one.start + one.length / 2), box + _BAND * (1 - value / highest))
            for one in bins
            if (value := getattr(one, look)) is not None
        ]
        parts.append(svg.polyline(points, look))
    return box + _BAND + _GAP


def _failures(material: Material, frame: Frame, y: float, parts: list[str]) -> float:
    losses = material.losses()
    if not losses:
        return y
    parts.append(svg.text(0, y + 10, "Failed requests by class", "title"))
    y += _HEAD - 2
    labels = list(dict.fromkeys(lost.label for lost in losses))
    for label in labels[:_MOST_ROWS]:
        mine = [lost for lost in losses if lost.label == label]
        parts.append(svg.text(frame.left, y + 10, f"{label} × {len(mine)}", "label"))
        middle = y + _ROW - 9
        parts.append(svg.line(frame.left, middle, frame.right, middle, "grid"))
        step = -(-len(mine) // _MOST_MARKS)
        for lost in mine[::step]:
            tip = f"{lost.label} at {utc(lost.at)}, {material.facts.name_of(lost.revision)}"
            parts.append(svg.cross(frame.x(lost.at), middle, tip))
        y += _ROW
    if len(labels) > _MOST_ROWS:
        parts.append(svg.text(frame.left, y + 12, f"and {len(labels) - _MOST_ROWS} more", "scale"))
        y += _ROW / 2
    return y + _GAP / 2


def _outage(frame: Frame, outage: Mapping[str, object], y: float, height: float) -> str:
    start, end = outage.get("first_failed_send"), outage.get("recovered")
    if not isinstance(start, (int, float)):
        return ""
    until = float(end) if isinstance(end, (int, float)) else frame.end
    x1, x2 = frame.x(start), frame.x(until)
    mode = outage.get("connection_mode")
    tip = f"outage of {elapsed(until - start)} on {mode} connections from {utc(start)}"
    return svg.rect(x1 - 1, y, (max(x2 - x1, 0) + 2, height), "outage", tip)


def _stall(frame: Frame, stall: Stall, y: float, height: float) -> str:
    x1, x2 = frame.x(stall.start), frame.x(stall.start + stall.seconds)
    tip = f"the load generator stood still for {elapsed(stall.seconds)} from {utc(stall.start)}"
    return svg.rect(x1, y, (max(x2 - x1, 1), height), "stall", tip)


def _axis(frame: Frame, y: float, parts: list[str]) -> float:
    span = frame.end - frame.start
    step = svg.time_step(span, 9 if frame.width > 600 else 4)
    offset = 0
    while offset <= span:
        x = frame.x(frame.start + offset)
        parts.append(svg.line(x, y, x, y + 5, "base"))
        anchor = "middle" if x + 24 < frame.right else "end"
        parts.append(svg.text(x, y + 18, utc(frame.start + offset)[:8], "scale", anchor))
        offset += step
    return y + 26


def describe(material: Material) -> str:
    """The chart as text, for who cannot see it."""
    load = material.load
    if load is None:
        return "There is no load test to show."
    sentences = [
        f"From {utc(load.started)} to {utc(load.ended)}: "
        + "; ".join(
            f"{counted.phase.name} from {utc(counted.phase.start)}, {count(counted.requests, 'request')}"
            f" and {counted.failed} lost"
            for counted in material.facts.phases
        )
        + "."
    ]
    for outage in load.lasting_outages[:10]:
        start, end = outage.get("first_failed_send"), outage.get("recovered")
        if isinstance(start, (int, float)):
            until = f"to {utc(end)}" if isinstance(end, (int, float)) else "to the end"
            sentences.append(
                f"Outage on {outage.get('connection_mode')} connections from {utc(start)} {until}."
            )
    for stall in load.stalls[:10]:
        sentences.append(
            f"The load generator stood still for {elapsed(stall.seconds)} from {utc(stall.start)}."
        )
    return " ".join(sentences)
