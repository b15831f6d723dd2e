# SPDX-License-Identifier: GPL-3.0-or-later
"""The few shapes that the charts are drawn with. Colours come from the page's style sheet, by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# The width of a digit or letter of the charts' 12 px type, for deciding whether a label fits.
LETTER = 6.6


def number(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


def rect(x: float, y: float, size: tuple[float, float], look: str, tip: str = "") -> str:
    """A rectangle of this width and height; `tip` shows on hovering."""
    width, height = (number(max(0, length)) for length in size)
    at = f'x="{number(x)}" y="{number(y)}" width="{width}" height="{height}"'
    return f'<rect class="{look}" {at}>{_tip(tip)}</rect>' if tip else f'<rect class="{look}" {at}/>'


def text(x: float, y: float, content: str, look: str = "", anchor: str = "start") -> str:
    """Words that end, begin or centre at a point."""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{look}" x="{number(x)}" y="{number(y)}"{place}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    """A straight line."""
    return f'<path class="{look}" d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}"/>'


def polyline(points: Sequence[tuple[float, float]], look: str) -> str:
    """A line through points; nothing for fewer than two."""
    if len(points) < 2:
        return ""
    path = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f'<path class="{look}" d="M{path}"/>'


def cross(x: float, y: float, tip: str) -> str:
    """The mark of a failure."""
    size = 4
    low_x, high_x = number(x - size), number(x + size)
    low_y, high_y = number(y - size), number(y + size)
    path = f"M{low_x} {low_y}L{high_x} {high_y}M{low_x} {high_y}L{high_x} {low_y}"
    return f'<path class="mark" d="{path}">{_tip(tip)}</path>'


def dot(x: float, y: float, look: str) -> str:
    """A small filled circle."""
    return f'<circle class="{look}" cx="{number(x)}" cy="{number(y)}" r="2"/>'


def picture(size: tuple[float, float], look: str, title: str, description: str, parts: Iterable[str]) -> str:
    """A whole SVG that says to a screen reader what it shows."""
    width, height = size
    name = f"{look}-{int(width)}"
    return (
        f'<svg class="{look}" viewBox="0 0 {number(width)} {number(height)}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _tip(tip: str) -> str:
    return f"<title>{escape(tip)}</title>"


def time_step(span: float, most: int) -> int:
    """A round number of seconds, so that at most `most` steps cover the span."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
    return next((step for step in steps if span / step <= most), 86400)
