# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a list of rollouts, as far as the list itself tells."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

# A host's name, a folder's, and part of the name of a load, which may have 63 characters in all: a run's name
# takes up to 40 of them.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?")


def problems(rollouts: Any, known: Collection[str], taken: Collection[str] = ()) -> list[str]:
    """Every problem as a sentence that names its rollout; none where all can be tried.

    `known` are the variables that a rollout may have beside its `name`, `taken` the names that stand for
    something else already.
    """
    if not isinstance(rollouts, Sequence) or isinstance(rollouts, (str, bytes)):
        return [f"rollout_list is {_kind(rollouts)}, and must be a list of rollouts."]
    if not rollouts:
        return ["rollout_list is empty: name at least one rollout."]
    found: list[str] = []
    seen: dict[str, int] = {}
    for number, rollout in enumerate(rollouts, start=1):
        if not isinstance(rollout, Mapping):
            found.append(f"Rollout {number} is {_kind(rollout)}, and must be a mapping with a name.")
            continue
        name = rollout.get("name")
        found += _name_problems(number, name, seen, taken)
        found += _unknown(f"{number} ({name})" if name else str(number), rollout, known)
    return found


def _name_problems(number: int, name: Any, seen: dict[str, int], taken: Collection[str]) -> list[str]:
    if name is None:
        return [f"Rollout {number} has no name."]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return [
            f"Rollout {number} has the name {name!r}, which becomes a folder's and a host's: use up to 22 "
            "small letters, digits and dashes, beginning and ending with a letter or digit."
        ]
    if name in taken:
        return [f"Rollout {number} has the name {name}, which is that of a host of the inventory."]
    first = seen.setdefault(name, number)
    return [f"Rollouts {first} and {number} are both called {name}."] if first != number else []


def _unknown(which: str, rollout: Mapping[Any, Any], known: Collection[str]) -> list[str]:
    found = []
    for variable in rollout:
        if variable == "name" or variable in known:
            continue
        near = difflib.get_close_matches(str(variable), known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        found.append(f"Rollout {which} has {variable}, which no rollout of a list takes.{hint}")
    return found


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    return {dict: "a mapping", str: "a text", bool: "a truth value"}.get(type(value), f"{value!r}")
