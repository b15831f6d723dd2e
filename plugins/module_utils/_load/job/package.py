# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the engine's own sources to where a detached job runs them from.

A module of Ansible runs from an archive that is gone when it ends. Every part is imported here by name, since
Ansible packs into that archive what is imported and nothing else.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from ... import _common
from ..._common import files, percentile, processes, tls
from .. import (
    arrivals,
    command,
    duration,
    engine,
    errors,
    grpc,
    http,
    http2,
    job,
    main,
    options,
    order,
    payloads,
    result,
    sse,
    stats,
)
from ..engine import engine as loop
from ..engine import (
    exchange,
    in_flight,
    poller,
    pool,
    resolver,
    schedule,
    stream_pool,
    streams,
    tokens,
    wire,
    writer,
)
from ..engine import part as own_part
from ..errors import LoadError
from ..grpc import answer as grpc_answer
from ..grpc import call, infer, method, protobuf, status, tensors
from ..http import answer, classify, coding, connection, parser, reader, request, states, target
from ..http2 import classify as http2_classify
from ..http2 import connection as http2_connection
from ..http2 import fields, library, session
from ..result import fortio, generators, merge, together
from ..result import result as outcome
from ..sse import answer as sse_answer
from ..sse import events, protocols
from ..stats import counts, health, histogram, ledger, modes, outage, snapshot, streamed, tally, timeline
from ..stats import payloads as payload_counts
from . import recorder, state, worker

PARTS = (
    _common, files, percentile, processes, tls,
    arrivals, command, duration, errors, main, options, order, payloads,
    engine, exchange, in_flight, loop, own_part, poller, pool, resolver, schedule, stream_pool, streams,
    tokens, wire, writer,
    grpc, grpc_answer, call, infer, method, protobuf, status, tensors,
    http, answer, classify, coding, connection, parser, reader, request, states, target,
    http2, http2_classify, http2_connection, fields, library, session,
    job, recorder, state, worker,
    result, fortio, generators, merge, outcome, together,
    sse, sse_answer, events, protocols,
    stats, counts, health, histogram, ledger, modes, outage, payload_counts, snapshot, streamed, tally,
    timeline,
)  # fmt: skip
_ROOM = __name__.rpartition(".job.")[0]
_ABOVE = _ROOM.rpartition(".")[0]


def copy_to(folder: Path, http2_too: bool = False) -> Path:
    """Write the packages `_load` and `_common` below `folder`, and return the path that Python is to run.

    With `http2_too` the library for HTTP/2 lies beside them, from wherever this Python has it. Raises
    LoadError if a part cannot be read, OSError if it cannot be written.
    """
    for name, data in sources(PARTS):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    if http2_too:
        (folder / "engine" / library.ARCHIVE).write_bytes(library.archive())
    return folder / "engine/_load/main.py"


def sources(parts: Iterable[ModuleType]) -> Iterator[tuple[str, bytes]]:
    """Each file of these parts and of what holds them: its path, from a folder `engine` on, and its content.

    Raises LoadError if one cannot be read.
    """
    for part in (sys.modules[_ROOM], *parts):
        package, _unused, name = part.__name__.rpartition(".")
        if hasattr(part, "__path__"):
            package, name = part.__name__, "__init__"
        data = pkgutil.get_data(package, f"{name}.py")
        if data is None:
            raise LoadError(f"The engine's part {part.__name__} cannot be read from where it was imported.")
        yield "/".join(("engine", *package[len(_ABOVE) + 1 :].split("."), f"{name}.py")), data
