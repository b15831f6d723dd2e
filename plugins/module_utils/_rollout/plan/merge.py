# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON merge patches (RFC 7396): applied, undone, and found again in an object that a webhook completed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common import quantity

# Their values are quantities, which KServe's webhooks write in a way of their own: `cpu: 1` and `1000m` come
# back as "1", `1024Mi` as 1Gi.
_OF_QUANTITIES = ("limits", "requests")


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


def between(there: Mapping[str, Any], wanted: Mapping[str, Any], quantities: bool = False) -> dict[str, Any]:
    """The patch that makes `wanted` of what is there. `quantities` is whether their values are."""
    patch: dict[str, Any] = {key: None for key in there if key not in wanted}
    for key, value in wanted.items():
        now = there.get(key)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            deeper = between(now, value, quantities or key in _OF_QUANTITIES)
            if deeper:
                patch[key] = deeper
        elif not _same(now, value, quantities):
            patch[key] = value
    return patch


def contains(target: Any, patch: Any, quantities: bool = False) -> bool:
    """Whether applying the patch would change nothing that it names.

    Webhooks add defaults, to the members of lists as well, so what is more than asked is no difference. What
    is asked to be away must be away or empty. `quantities` is whether their values are.
    """
    if isinstance(patch, Mapping):
        there = target if isinstance(target, Mapping) else {}
        return (isinstance(target, Mapping) or not patch) and all(
            there.get(key) in (None, "", [], {})
            if value is None
            else contains(there.get(key), value, quantities or key in _OF_QUANTITIES)
            for key, value in patch.items()
        )
    if isinstance(patch, list):
        return (
            isinstance(target, list)
            and len(target) == len(patch)
            and all(contains(one, two) for one, two in zip(target, patch))
        )
    return _same(target, patch, quantities)


def _same(there: Any, wanted: Any, quantities: bool) -> bool:
    if there == wanted or not quantities:
        return bool(there == wanted)
    number = quantity.parse(wanted)
    return number is not None and number == quantity.parse(there)
