# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefacts of a run on disk: read as evidence, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    expanded,
    require_own_folder,
    write_atomically,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import (
    AccessLog,
    Format,
    LogReader,
    read_ids,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.naming.formats import named

_LONGEST_LINE = 65536


class ArtefactError(Exception):
    """A path that cannot be meant, or a folder that cannot be written: one sentence for the user."""


def read_evidence(paths: Mapping[str, Any]) -> Evidence:
    """The evidence in the files of `load`, `timeline`, `experiment`, `inferenceservice`, `observations`
    and `driver`, and in the log of the gateway that `access_log` tells of (`path`, `fields`,
    `revision_pattern`).

    A file that is missing or damaged is missing evidence, reported in `problems`, for it says something about
    the run. But observations there may be none, where no observer ran, and no driver where another one drove.

    :raises ArtefactError: where a path is a folder, or what is said of the log makes no sense: slips of the
        person who gave it.
    """
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    readers: dict[str, Callable[[str], Any]] = {
        "load": _json_object,
        "timeline": _json_lines,
        "experiment": _json_object,
        "inferenceservice": _json_object,
        "observations": _json_lines,
        "driver": _json_object,
    }
    for name, reader in readers.items():
        path = paths.get(name)
        if not path:
            continue
        refuse_folder(name, path)
        try:
            found[name] = reader(path)
        except OSError as error:
            if name in ("observations", "driver") and isinstance(error, FileNotFoundError):
                continue
            problems[name] = f"the file {path} cannot be read: {error.strerror or error}"
        except ValueError as error:
            problems[name] = f"the file {path} is damaged: {error}"
    log = _access_log(paths.get("access_log") or {}, found.get("load"), problems)
    return Evidence(problems=problems, access_log=log, **found)


def refuse_folder(name: str, path: str) -> None:
    """Raise ArtefactError where an argument names a folder, and is to name a file."""
    if os.path.isdir(path):
        raise ArtefactError(f"{name}: {path} is a folder. Give the path of the file.")


def _access_log(given: Mapping[str, Any], load: Any, problems: dict[str, str]) -> AccessLog | None:
    """The requests of the load in the gateway's log; None, with the reason, where they cannot be found."""
    form, path = _format(given), given.get("path")
    if not path:
        return None
    refuse_folder("access_log", path)
    ids = read_ids(load)
    if not ids:
        # Without a load's result there is a problem already.
        if load:
            problems["access_log"] = (
                "the load test gave its requests no ids of its own, so the gateway's log cannot be searched"
            )
        return None
    own = load.get("LoadTest") if isinstance(load, dict) else None
    ledger = own.get("ledger") if isinstance(own, dict) else None
    rows = [row for row in ledger if isinstance(row, dict)] if isinstance(ledger, list) else []
    reader = LogReader(form, ids, [str(row["request_id"]) for row in rows if row.get("request_id")])
    try:
        with open(path, "rb") as file:
            # What has no line ends is no log, but is not to be held in memory either.
            for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
                reader.add(line)
    except OSError as error:
        problems["access_log"] = f"the gateway's log {path} cannot be read: {error.strerror or error}"
        return None
    return reader.log()


def _format(given: Mapping[str, Any]) -> Format:
    fields = {name: value for name, value in (given.get("fields") or {}).items() if value}
    try:
        return named(given.get("gateway") or "istio", fields, given.get("revision_pattern") or "")
    except ValueError as error:
        raise ArtefactError(f"access_log: {error}") from None


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is no number that JSON knows")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        raise ValueError(f"it tells {next(n for n in names if names.count(n) > 1)!r:.80} twice in one object")
    return found


def parse(content: str) -> Any:
    """What a JSON text holds, with every text in it on one printable line: what servers said is among it.

    :raises ValueError: where it is no JSON, as with the NaN and Infinity that Python's own parser takes, or
        where an object has a name twice, of which that parser takes the last.
    """
    try:
        return plain(
            json.loads(content, parse_float=_number, parse_constant=_number, object_pairs_hook=_once)
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _json_object(path: str) -> dict[str, Any]:
    value = parse(Path(path).read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it does not hold a JSON object")
    return value


def _json_lines(path: str) -> list[Any]:
    """The lines of a JSON Lines file. A last line without its end was cut off while it was written: left
    out. So is half a line that stands whole further down: a full disk took no more of it at first."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    values = []
    for number, line in enumerate(lines[:-1], start=1):
        if not line.strip():
            continue
        try:
            values.append(parse(line))
        except json.JSONDecodeError:
            if any(later.startswith(line) for later in lines[number:-1]):
                continue
            raise ValueError(f"line {number} is not JSON") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return values


def write_whole(path: str, content: str) -> bool:
    """Write a file so that readers see the old or the new one, never a part. False if it was so already.

    :raises ArtefactError: where the folder is missing or cannot be written, or others can write to it.
    """
    try:
        path = expanded(path)
        require_own_folder(os.path.dirname(os.path.abspath(path)), shared=True)
        with contextlib.suppress(OSError, ValueError):
            if Path(path).read_text(encoding="utf-8") == content:
                return False
        write_atomically(Path(path), content, 0o644)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be written: {error.strerror or error}.") from None
    return True


def require_dest(dest: str) -> None:
    """:raises ArtefactError: where others can write to the folder that the artefacts are to be put in."""
    try:
        require_own_folder(dest)
    except OSError as error:
        raise ArtefactError(f"dest: {error.strerror}. Name a folder of your own.") from None


def write_all(dest: str, contents: Mapping[str, str], check_mode: bool) -> tuple[bool, dict[str, str]]:
    """Write each content to the file of its name. Whether one changed, and the paths by name.

    :raises ArtefactError: as with `write_whole`.
    """
    paths = {name: os.path.join(dest, name) for name in contents}
    if check_mode:
        return False, paths
    changed = [write_whole(paths[name], content) for name, content in contents.items()]
    return any(changed), paths


def as_json(value: Any) -> str:
    """JSON for people and programs: indented, and the same text for the same value.

    :raises ValueError: for a number that JSON does not know.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
