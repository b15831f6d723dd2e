# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts of real KServe, as they were recorded on a real cluster: trimmed to what is read of them.

A line is `{"at", "mark"}` (what was done then), `{"at", "object"}` (with `gone` where that is the last of it)
or `{"at", "load"}` (what the load saw in the second that ended then). `at` is in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View
from ansible_collections.iter8.kfserving.tests.support.places import DATA

FOLDER = DATA / "recorded"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
Row = dict[str, Any]


@dataclass(frozen=True)
class Stretch:
    """What came between one mark and the next; `until` is when that was."""

    mark: str
    begin: float
    until: float
    rows: tuple[Row, ...]


def rows_of(name: str) -> list[Row]:
    """The lines of a recording."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


def stretches(name: str) -> list[Stretch]:
    """The recording, cut at its marks."""
    rows = rows_of(name)
    cuts = [index for index, row in enumerate(rows) if "mark" in row]
    ends = [*cuts[1:], len(rows)]
    return [
        Stretch(
            rows[begin]["mark"],
            rows[begin]["at"],
            rows[end]["at"] if end < len(rows) else rows[-1]["at"],
            tuple(rows[begin + 1 : end]),
        )
        for begin, end in zip(cuts, ends)
    ]


def seen(view: View, rows: tuple[Row, ...]) -> Iterator[Row]:
    """Each row with an object, once the view has taken it."""
    for row in rows:
        if "object" in row:
            view.take(row["object"], gone=row.get("gone") is True)
            yield row
