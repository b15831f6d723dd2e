# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of several generators put together and written: what the module `load_merge` does."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..._common.files import expanded, write_atomically
from ..errors import LoadError, refuse_nul
from ..result.generators import GeneratorResult, merge_generators
from .job import destination

Interval = tuple[float, float]


def ensure_merged(arguments: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Write the result of all generators, unless it is there already. Raises LoadError."""
    generators = [_generator(index, given) for index, given in enumerate(arguments["generators"])]
    return write_merged(generators, arguments["dest"], check_mode)


def write_merged(generators: Iterable[GeneratorResult], dest: str, check_mode: bool) -> dict[str, Any]:
    """Write the result of all generators to a file, where one is named, unless it is there already.

    Returns `changed`, `generators`, `requests`, `failed` and `status`. Raises LoadError.
    """
    try:
        merged = merge_generators(generators)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LoadError(f"The results cannot be put together: {error!r}. Are they of this version?") from None
    own = merged["LoadTest"]
    return {
        "changed": _written(Path(destination(dest)), json.dumps(merged) + "\n", check_mode)
        if dest
        else False,
        "generators": own["generators"],
        "requests": own["requests"],
        "failed": own["failed"],
        "status": own["state"],
    }


def _written(dest: Path, text: str, check_mode: bool) -> bool:
    try:
        changed = not dest.exists() or dest.read_bytes() != text.encode()
        if changed and not check_mode:
            write_atomically(dest, text, 0o644)
    except OSError as error:
        raise LoadError(f"The destination {dest} cannot be written: {error.strerror}.") from None
    return changed


def _generator(index: int, given: Mapping[str, Any]) -> GeneratorResult:
    path = given.get("path")
    return GeneratorResult(
        name=given["name"],
        index=index,
        read=functools.partial(_read, given["name"], path) if path else lambda: None,
        clock=_hull(given["name"], given.get("clock_offsets") or []),
        problem=given.get("problem") or "",
    )


def _read(name: str, path: str) -> dict[str, Any]:
    refuse_nul(path, "result")
    try:
        result = json.loads(Path(expanded(path)).read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(f"The result of {name}, {path}, cannot be read: {error.strerror}.") from None
    except ValueError:
        raise LoadError(f"The result of {name}, {path}, is not JSON.") from None
    if not isinstance(result, dict) or not isinstance(result.get("LoadTest"), dict):
        raise LoadError(f"The result of {name}, {path}, is not that of a load.")
    return result


def _hull(name: str, offsets: list[Mapping[str, Any]]) -> Interval | None:
    """What holds all comparisons of a clock; None where there is none."""
    try:
        lows, highs = [float(one["low"]) for one in offsets], [float(one["high"]) for one in offsets]
    except (KeyError, TypeError, ValueError):
        raise LoadError(f"A clock offset of {name} lacks low or high, or they are no numbers.") from None
    return (min(lows), max(highs)) if offsets else None
