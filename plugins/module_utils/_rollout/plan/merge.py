# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON merge patches (RFC 7396): applied, undone, and found again in an object that a webhook completed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(target: Any, patch: Any) -> Any:
    """The target with the patch applied, as the API server does it."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def undo(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that brings back what `patch` changes in `target`."""
    back: dict[str, Any] = {}
    for key, value in patch.items():
        there = target.get(key) if isinstance(target, Mapping) else None
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            back[key] = undo(there, value)
        else:
            # A mapping that replaces nothing leaves null behind, and so does what was removed in vain.
            back[key] = there
    return back


def between(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `wanted` of what is there."""
    patch: dict[str, Any] = {key: None for key in there if key not in wanted}
    for key, value in wanted.items():
        now = there.get(key)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            deeper = between(now, value)
            if deeper:
                patch[key] = deeper
        elif now != value:
            patch[key] = value
    return patch


def contains(target: Any, patch: Any) -> bool:
    """Whether applying the patch would change nothing that it names.

    Webhooks add defaults, to the members of lists as well, so what is more than asked is no difference. What
    is asked to be away must be away or empty.
    """
    if isinstance(patch, Mapping):
        there = target if isinstance(target, Mapping) else {}
        return (isinstance(target, Mapping) or not patch) and all(
            there.get(key) in (None, "", [], {}) if value is None else contains(there.get(key), value)
            for key, value in patch.items()
        )
    if isinstance(patch, list):
        return (
            isinstance(target, list)
            and len(target) == len(patch)
            and all(contains(one, two) for one, two in zip(target, patch))
        )
    return bool(target == patch)
