# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading Kubernetes objects that may be half written: what is absent or of the wrong kind reads as empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """One entry of `status.conditions`; `status` is True, False or Unknown, as a word."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


def mapping(obj: Any, *path: str) -> Mapping[str, Any]:
    """The mapping at `path` below `obj`, or an empty one."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj if isinstance(obj, Mapping) else {}


def entries(obj: Any, *path: str) -> list[Mapping[str, Any]]:
    """The mappings of the list at `path` below `obj`, or an empty list."""
    found = mapping(obj, *path[:-1]).get(path[-1])
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def text(obj: Mapping[str, Any], key: str) -> str:
    """The text at `key`, or the empty text."""
    value = obj.get(key)
    return value if isinstance(value, str) else ""


def number(obj: Mapping[str, Any], key: str) -> int:
    """The whole number at `key`, or 0 (Kubernetes leaves zero fields out)."""
    value = obj.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def name_of(obj: Any) -> str:
    """The object's name, or the empty text."""
    return text(mapping(obj, "metadata"), "name")


def uid_of(obj: Any) -> str:
    """The object's UID, or the empty text."""
    return text(mapping(obj, "metadata"), "uid")


def generation_of(obj: Any) -> int:
    """The object's generation, or 0."""
    return number(mapping(obj, "metadata"), "generation")


def is_true(obj: Any, kind: str) -> bool:
    """Whether the condition of this type is True."""
    return any(each.type == kind and each.status == "True" for each in conditions(obj))


def conditions(obj: Any) -> tuple[Condition, ...]:
    """`status.conditions` in the order of the object."""
    return tuple(
        Condition(text(entry, "type"), text(entry, "status"), text(entry, "reason"), text(entry, "message"))
        for entry in entries(obj, "status", "conditions")
    )
