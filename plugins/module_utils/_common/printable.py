# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts from clusters and servers, made fit for terminals, logs and artefacts.

Whoever runs in the cluster writes condition messages, and whoever answers names revisions. A terminal obeys
what it is sent, and half a surrogate pair can be written to no file, so such texts are shown, never sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

# Controls (C0, DEL, C1); what turns the direction of writing; separators of lines; halves of surrogate pairs;
# what is invisible by design (byte order mark, annotations, tags); what is no character.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    number = ord(character)
    long = f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
    return _SHORT.get(character) or (long if number < 0x10000 else f"\\U{number:08x}")


def printable(text: str) -> str:
    r"""The text on one line, with an escape (`\n`, `\x1b`, `\u202e`) for each character that is not to be
    sent to a terminal or cannot be written to a file."""
    return _NOT_PRINTABLE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines: these stay, and so do tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def plain(value: Any, text: Callable[[str], str] = printable) -> Any:
    """A value as JSON has it with every text, names included, as `text` makes it, and with None for a number
    that JSON does not know (NaN and the infinities)."""
    if isinstance(value, str):
        return text(value) if _NOT_PRINTABLE.search(value) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(name, text): plain(each, text) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, text) for each in value]
    return value
