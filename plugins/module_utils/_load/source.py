# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the engine's own sources to where a detached job runs them from.

A module of Ansible runs from an archive that is gone when it ends. Every part is imported here by name, since
Ansible packs into that archive what is imported and nothing else.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path

from . import (
    __main__,
    answer,
    classify,
    command,
    connection,
    duration,
    engine,
    exchange,
    failure,
    fortio,
    histogram,
    http1,
    ledger,
    options,
    outage,
    poller,
    pool,
    process,
    reader,
    request,
    resolver,
    result,
    schedule,
    store,
    tally,
    target,
    worker,
)
from .failure import LoadError

PARTS = (
    __main__, answer, classify, command, connection, duration, engine, exchange, failure, fortio, histogram,
    http1, ledger, options, outage, poller, pool, process, reader, request, resolver, result, schedule,
    store, tally, target, worker,
)  # fmt: skip


def copy_to(folder: Path) -> Path:
    """Write the package into `folder` and return its path, which Python can run."""
    package = folder / "_load"
    package.mkdir(parents=True, exist_ok=True)
    names = ["__init__", *(part.__name__.rpartition(".")[2] for part in PARTS)]
    for name in names:
        data = pkgutil.get_data(__package__ or "", f"{name}.py")
        if data is None:
            raise LoadError(f"The engine's part {name} cannot be read from where it was imported.")
        (package / f"{name}.py").write_bytes(data)
    return package
