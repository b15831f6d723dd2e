# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: every import of every file under `plugins/`, held against one table.

`docs/architecture.md` prints the table, and a test holds both equal. A wrong import of each kind is planted
in a tree of its own, to see that it is found.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

OURS = "ansible_collections.iter8.kfserving.plugins."
STANDARD = frozenset(sys.stdlib_module_names)

# What does I/O, tells the time, or runs code beside this: no part of what decides.
EFFECTS = frozenset(
    """
    asyncio asynchat asyncore concurrent ctypes curses fcntl fileinput ftplib getpass glob http imaplib
    io logging mmap multiprocessing os pathlib pickle platform poplib pty queue random resource sched
    secrets select selectors shelve shutil signal smtplib socket socketserver sqlite3 ssl subprocess sys
    syslog tempfile termios threading time tkinter tty urllib uuid webbrowser xmlrpc zipfile
    """.split()  # noqa: SIM905
)
# Built-in functions that do the same without an import.
EFFECT_CALLS = frozenset({"open", "print", "input", "exec", "eval", "__import__"})
# `datetime` is arithmetic with moments, but for what asks a clock.
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})


@dataclass(frozen=True)
class Room:
    """What the files of one folder may import.

    `rooms` are others of this collection, by their path below `plugins/` with dots: a name stands for all
    that lies below it. `packages` are what is not in the standard library, a name as well for all below it.
    `pure` rooms keep to the part of the standard library that does no I/O and asks no clock.
    """

    rooms: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    pure: bool = False


def _util(*names: str) -> tuple[str, ...]:
    return tuple(f"module_utils.{name}" for name in names)


PURE_COMMON = ("_common.quantity", "_common.percentile")

TABLE = {
    "module_utils._common": Room(),
    "module_utils._load": Room(rooms=_util("_common")),
    "module_utils._load.http2": Room(rooms=_util("_load", "_common"), packages=("h2", "hpack", "hyperframe")),
    "module_utils._rollout": Room(rooms=_util(*PURE_COMMON), pure=True),
    "module_utils._cluster": Room(
        rooms=_util("_rollout", "_load.errors", "_load.job", "_load.pod", "_load.result", "_common"),
        packages=("kubernetes", "urllib3", "ansible_collections.kubernetes.core"),
    ),
    "module_utils._platform": Room(
        rooms=_util("_cluster", "_common"), packages=("yaml", "cryptography", "ansible.module_utils.urls")
    ),
    "module_utils._report": Room(rooms=_util("_rollout", "_common")),
    "module_utils._sandbox": Room(
        rooms=_util("_rollout", "_common"),
        packages=(
            "kopf", "cryptography", "aiohttp", "urllib3", "yaml",
            "ansible.module_utils.basic",
        ),
    ),
    "modules": Room(
        rooms=_util("_cluster", "_platform", "_load", "_report", "_rollout", "_common"),
        packages=("ansible.module_utils", "ansible_collections.kubernetes.core"),
    ),
    "modules.sandbox": Room(rooms=_util("_sandbox.lifecycle"), packages=("ansible.module_utils",)),
    "plugin_utils": Room(
        rooms=("plugin_utils", *_util("_cluster", "_load", "_report", "_rollout", "_common")),
        packages=("ansible",),
    ),
    "action": Room(
        rooms=("plugin_utils", *_util("_cluster", "_load", "_report", "_rollout", "_common")),
        packages=("ansible",),
    ),
    "filter": Room(rooms=_util("_cluster", "_load", "_report", "_rollout", "_common"), packages=("ansible",)),
    "lookup": Room(rooms=_util("_common"), packages=("ansible", "yaml")),
    "doc_fragments": Room(),
}  # fmt: skip

# Within the sandbox: what lies lower imports nothing that lies higher. A room may import those of the rows
# above its own; rooms of one row, only where the second column says so.
SANDBOX_ROWS = (
    ("paths", "faults"),
    ("processes", "kube"),
    ("programs", "control_plane", "node", "gateway"),
    ("serving", "iter8", "analytics", "model_server", "monitoring"),
    ("lifecycle",),
)
SANDBOX_BESIDE = {("analytics", "iter8")}

# The engine's own sub-rooms are one machine, but what it is made of does not know what runs it.
LOAD_BELOW = {"http", "http2", "grpc", "stats", "engine", "result"}
LOAD_ABOVE = {"job", "command"}


@dataclass(frozen=True)
class Import:
    """One imported name: in which file (below `plugins/`), on which line, of what."""

    file: str
    line: int
    name: str


def imports(plugins: Path) -> Iterator[Import]:
    """Every import of every file, also those within functions; relative ones spelled out."""
    for path in sorted(plugins.rglob("*.py")):
        yield from imports_of(path, plugins)


def imports_of(path: Path, plugins: Path) -> Iterator[Import]:
    """Those of one file."""
    file = path.relative_to(plugins)
    package = (OURS + ".".join(file.parent.parts)).rstrip(".").split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(str(file), node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(str(file), node.lineno, f"{module}.{alias.name}")


def room_of(file: str) -> str:
    """The row of the table that a file belongs to: the longest that fits."""
    name = file.removesuffix(".py").replace("/", ".")
    fitting = [room for room in TABLE if _below(name, room)]
    return max(fitting, key=len) if fitting else ""


def _below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def offences(plugins: Path) -> list[str]:
    """What breaks the table, a line each: file, line, what is imported, why not."""
    found = []
    for one in imports(plugins):
        why = _why_not(one)
        if why:
            found.append(f"{one.file}:{one.line}: {one.name}: {why}")
    for path in _pure_files(plugins):
        found += [f"{path.relative_to(plugins)}:{line}: {what}" for line, what in _effects(path)]
    return found


def _pure_files(plugins: Path) -> list[Path]:
    """The files that decide, and those of `_common` that they may use."""
    shared = [plugins / f"{name.replace('.', '/')}.py" for name in _util(*PURE_COMMON)]
    return sorted((plugins / "module_utils/_rollout").rglob("*.py")) + [
        path for path in shared if path.exists()
    ]


def _why_not(one: Import) -> str:
    room = room_of(one.file)
    if not room:
        return "the file lies in no room of the table"
    allowed = TABLE[room]
    if one.name.startswith(OURS):
        target = one.name.removeprefix(OURS)
        if _below(target, room) and room != "modules":
            return _inside(one, target)
        # What a package says of itself is not all that lies in it: _common as a whole is no pure file.
        return "" if any(_below(target, other) for other in allowed.rooms) else f"not for {room}"
    top = one.name.partition(".")[0]
    if top in STANDARD:
        pure = allowed.pure or one.file.removesuffix(".py").replace("/", ".") in _util(*PURE_COMMON)
        effects = top in EFFECTS and not _below(one.name, "urllib.parse")
        return f"{top} does I/O or tells the time" if pure and effects else ""
    return "" if any(_below(one.name, name) for name in allowed.packages) else f"no package for {room}"


def _inside(one: Import, target: str) -> str:
    """Within the sandbox and within the engine: who lies below whom."""
    if target.startswith("module_utils._sandbox."):
        own, other = _part(one.file), target.split(".")[2]
        if own == other or (own, other) in SANDBOX_BESIDE:
            return ""
        rows = {part: number for number, row in enumerate(SANDBOX_ROWS) for part in row}
        if own not in rows or other not in rows:
            return f"{own if own not in rows else other} is no room of the sandbox's table"
        return "" if rows[other] < rows[own] else f"{other} does not lie below {own}"
    if target.startswith("module_utils._load."):
        own, other = _part(one.file), target.split(".")[2]
        return f"{own} does not know what runs it" if own in LOAD_BELOW and other in LOAD_ABOVE else ""
    return ""


def _part(file: str) -> str:
    """The folder or file directly below a room of `module_utils`."""
    parts = Path(file).parts
    return parts[2].removesuffix(".py") if len(parts) > 2 else ""


def _effects(path: Path) -> Iterator[tuple[int, str]]:
    """Calls that do I/O or ask a clock without an import that shows it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in EFFECT_CALLS:
            yield node.lineno, f"{node.func.id}() does I/O"
        if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_CALLS and _is_datetime(node.func):
            yield node.lineno, f"{node.func.attr}() asks a clock"


def _is_datetime(function: ast.Attribute) -> bool:
    return bool(re.search(r"\b(datetime|date)\b", ast.unparse(function.value)))


def test_every_import_keeps_to_the_table() -> None:
    assert offences(ROOT / "plugins") == []


def test_no_file_is_overlooked() -> None:
    read = {one.file for one in imports(ROOT / "plugins")}
    bare = [path for path in (ROOT / "plugins").rglob("*.py") if path.name != "__init__.py"]
    files = {str(path.relative_to(ROOT / "plugins")) for path in bare}
    assert len(files) > 150
    assert {file for file in files - read if not room_of(file)} == set()


PLANTED = {
    "a package in the engine": ("module_utils/_load/http/x.py", "import requests"),
    "HTTP/2 beside its own folder": ("module_utils/_load/engine/x.py", "import h2.connection"),
    "another room in the engine": ("module_utils/_load/engine/x.py", "from ..._rollout import verdict"),
    "the job below the loop": ("module_utils/_load/engine/x.py", "from ..job import state"),
    "files in a quantity": ("module_utils/_common/quantity.py", "import os"),
    "a clock in a percentile": (
        "module_utils/_common/percentile.py",
        "from datetime import date\nDAY = date.today()",
    ),
    "a package in what all share": ("module_utils/_common/x.py", "import yaml"),
    "a room in what all share": ("module_utils/_common/x.py", "from .._load import options"),
    "files in what decides": ("module_utils/_rollout/rules/x.py", "from pathlib import Path"),
    "a clock in what decides": ("module_utils/_rollout/x.py", "import time"),
    "a clock without its import": (
        "module_utils/_rollout/x.py",
        "import datetime\nNOW = datetime.datetime.now()",
    ),
    "a file opened in what decides": ("module_utils/_rollout/x.py", "TEXT = open('/etc/hostname').read()"),
    "the writer of files in what decides": (
        "module_utils/_rollout/x.py",
        f"from {OURS}module_utils._common.files import write_atomically",
    ),
    "all of _common in what decides": (
        "module_utils/_rollout/x.py",
        f"from {OURS}module_utils import _common",
    ),
    "the cluster in what decides": (
        "module_utils/_rollout/x.py",
        f"from {OURS}module_utils._cluster.client import api",
    ),
    "the engine itself in the cluster": (
        "module_utils/_cluster/x.py",
        f"from {OURS}module_utils._load.engine import engine",
    ),
    "the report in the cluster": (
        "module_utils/_cluster/x.py",
        f"from {OURS}module_utils._report import judge",
    ),
    "the cluster in the report": (
        "module_utils/_report/x.py",
        f"from {OURS}module_utils._cluster.client import api",
    ),
    "a package in the report": ("module_utils/_report/x.py", "import prometheus_client"),
    "the engine in the sandbox": (
        "module_utils/_sandbox/node/x.py",
        f"from {OURS}module_utils._load.job import job",
    ),
    "kubernetes.core in the sandbox": (
        "module_utils/_sandbox/kube/x.py",
        "from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client",
    ),
    "upwards in the sandbox": (
        "module_utils/_sandbox/kube/x.py",
        f"from {OURS}module_utils._sandbox.node import pod",
    ),
    "sideways in the sandbox": (
        "module_utils/_sandbox/serving/x.py",
        f"from {OURS}module_utils._sandbox.monitoring import targets",
    ),
    "the sandbox in the cluster": (
        "module_utils/_cluster/x.py",
        f"from {OURS}module_utils._sandbox import paths",
    ),
    "the sandbox in another module": ("modules/x.py", f"from {OURS}module_utils._sandbox import paths"),
    "the sandbox in an action": ("action/x.py", f"from {OURS}module_utils._sandbox import paths"),
    "the sandbox within a function": (
        "modules/x.py",
        f"def main():\n    from {OURS}module_utils._sandbox.lifecycle import module",
    ),
    "the control plane in the module": (
        "modules/sandbox.py",
        f"from {OURS}module_utils._sandbox.control_plane import pki",
    ),
    "a room that is in no table": ("module_utils/_new/x.py", "import json"),
    "a part of the sandbox that is in no table": (
        "module_utils/_sandbox/new/x.py",
        f"from {OURS}module_utils._sandbox import paths",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_wrong_import_is_found(what: str, tmp_path: Path) -> None:
    file, text = PLANTED[what]
    place = tmp_path / "plugins" / file
    place.parent.mkdir(parents=True)
    place.write_text(text + "\n")
    found = offences(tmp_path / "plugins")
    assert len(found) == 1, found
    assert found[0].startswith(f"{file}:")


def test_a_wrong_import_is_found_among_the_others(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "plugins/module_utils/_rollout/thresholds.py"
    file.write_text(file.read_text() + "\nimport os\n")
    assert [line.partition(": ")[2] for line in offences(tmp_path / "plugins")] == [
        "os: os does I/O or tells the time"
    ]


def test_the_architecture_prints_the_table() -> None:
    """Each row of the documented table names what the row here allows, and there are no others."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9_.]+)` \|[^|]*\| ([^|]*) \|$", text, re.MULTILINE))
    printed = {room.removeprefix("module_utils."): room for room in TABLE}
    assert set(rows) == set(printed)
    for name, room in ((name, TABLE[key]) for name, key in printed.items()):
        wanted = {each.removeprefix("module_utils.") for each in (*room.rooms, *room.packages)}
        assert set(re.findall(r"`([^`]+)`", rows[name])) == wanted, name
        assert ("no I/O, no clock" in rows[name]) == room.pure, name


def test_the_architecture_prints_the_sandboxs_rows() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    printed = re.findall(r"^\| (\d) \| ([^|]*) \|$", text, re.MULTILINE)
    assert [tuple(re.findall(r"`([^`]+)`", row)) for _number, row in printed] == list(SANDBOX_ROWS)
