# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that runs in a fork of the worker sees and says what one in a Python of its own would."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible import constants as C
from ansible.module_utils import basic
from ansible_collections.iter8.kfserving.plugins.plugin_utils import here
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

# They work for or on other hosts: nothing is gained there.
SENT = {"clock_offset", "load_merge"}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def ran(main: Callable[[], Any], folder: Path) -> dict[str, Any]:
    """What is left of a module that consists of this."""
    module = ModuleType("example")
    module.main = main  # type: ignore[attr-defined]
    return here._forked(module, b'{"ANSIBLE_MODULE_ARGS": {"x": 1}}', str(folder))


def test_it_says_what_it_prints_and_how_it_ended(folder: Path) -> None:
    def main() -> None:
        print("out\udcff")
        print("aside", file=sys.stderr)
        sys.exit(3)

    found = ran(main, folder)
    assert (found["rc"], found["stdout"], found["stderr"]) == (3, "out\udcff\n", "aside\n")


def test_it_is_alone_in_its_process_and_in_the_playbooks_folder(folder: Path) -> None:
    def main() -> None:
        os.environ["CHANGED_BY_A_MODULE"] = "1"
        print(json.dumps([os.getpid(), os.getcwd(), sys.stdin.read(), basic._ANSIBLE_ARGS.decode()]))

    pid, cwd, read, given = json.loads(ran(main, folder)["stdout"])
    assert pid != os.getpid()
    assert (cwd, read, json.loads(given)) == (str(folder), "", {"ANSIBLE_MODULE_ARGS": {"x": 1}})
    assert "CHANGED_BY_A_MODULE" not in os.environ


@pytest.mark.parametrize("said", ["lots\n" * 100_000, ""])
def test_whoever_says_much_does_not_hang(folder: Path, said: str) -> None:
    def main() -> None:
        sys.stderr.write(said)
        sys.stdout.write(said)

    found = ran(main, folder)
    assert (found["rc"], found["stdout"], found["stderr"]) == (0, said, said)


def test_a_module_that_breaks_shows_where(folder: Path) -> None:
    def main() -> None:
        raise RuntimeError("broken")

    found = ran(main, folder)
    assert found["rc"] == 1
    assert "RuntimeError: broken" in found["stderr"]


def test_one_that_is_killed_is_told(folder: Path) -> None:
    assert ran(lambda: os.kill(os.getpid(), signal.SIGKILL), folder)["rc"] == -signal.SIGKILL


def test_a_time_limit_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class TimedOut(Exception):
        pass

    started: list[int] = []
    fork = os.fork

    def forking() -> int:
        started.append(fork())
        return started[-1]

    def late(*_: Any, **__: Any) -> Any:
        raise TimedOut

    monkeypatch.setattr(os, "fork", forking)
    monkeypatch.setattr(here, "open", late, raising=False)
    with pytest.raises(TimedOut):
        ran(signal.pause, folder)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def action(**bent: Any) -> Any:
    """An action plugin of a task that may run here, or differs in one thing."""
    here_it_is = {"transport": "local", "become": None, "environment": [], "delegate_to": None}
    given = {**here_it_is, **bent}
    return SimpleNamespace(
        _connection=SimpleNamespace(transport=given["transport"], become=given["become"]),
        _task=SimpleNamespace(environment=given["environment"], delegate_to=given["delegate_to"]),
        _templar=SimpleNamespace(template=lambda value: value),
    )


def test_on_the_controller_with_the_playbooks_python_it_may() -> None:
    assert here.can(action(), {"ansible_python_interpreter": sys.executable})
    assert here.can(action(environment=[{}, None]), {"ansible_python_interpreter": sys.executable})


@pytest.mark.parametrize(
    ("bent", "interpreter"),
    [
        ({"transport": "ssh"}, sys.executable),
        ({"become": object()}, sys.executable),
        ({"delegate_to": "load-1"}, sys.executable),
        ({"environment": [{"HTTPS_PROXY": "http://127.0.0.1:9"}]}, sys.executable),
        ({}, "/usr/bin/python3.99"),
        ({}, ""),
        ({}, None),
    ],
)
def test_elsewhere_ansible_sends_it(bent: dict[str, Any], interpreter: str | None) -> None:
    assert not here.can(action(**bent), {"ansible_python_interpreter": interpreter})


def test_whoever_looks_closely_sees_ansibles_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"ansible_python_interpreter": sys.executable}
    monkeypatch.setattr(here, "Display", lambda: SimpleNamespace(verbosity=3))
    assert not here.can(action(), given)
    monkeypatch.setattr(here, "Display", lambda: SimpleNamespace(verbosity=2))
    assert here.can(action(), given)
    monkeypatch.setattr(C, "DEFAULT_KEEP_REMOTE_FILES", True)
    assert not here.can(action(), given)


def test_an_ansible_that_was_never_tried_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"ansible_python_interpreter": sys.executable}
    named = re.search(r"ansible-core 2\.\d+ to (2\.\d+)", (ROOT / "README.md").read_text())
    assert named
    assert tuple(map(int, named[1].split("."))) == here.NEWEST
    monkeypatch.setattr(here, "CORE", f"{named[1]}.7.post0")
    assert here.can(action(), given)
    monkeypatch.setattr(here, "CORE", f"2.{here.NEWEST[1] + 1}.0.dev0")
    assert not here.can(action(), given)


@pytest.mark.parametrize("newest", [False, True])
def test_what_a_module_may_not_say_of_itself_is_taken_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    """Up to ansible-core 2.20 from a mapping, from then on by the result itself."""
    taken: list[Any] = []
    result = SimpleNamespace(
        remove_internal_keys=lambda: taken.append(result),
        as_result_dict=lambda for_round_trip: {"changed": True, "round_trip": for_round_trip},
    )
    parsed: Any = result if newest else {"changed": True}
    monkeypatch.setattr(here, "remove_internal_keys", None if newest else taken.append)
    monkeypatch.setattr(here, "_forked", lambda *_told: {"stdout": "{}"})
    given = SimpleNamespace(
        _update_module_args=lambda *_told: None,
        _loader=SimpleNamespace(get_basedir=lambda: str(folder)),
        _parse_returned_data=lambda *_told: parsed,
    )
    assert here.run(given, ModuleType("a.b"), {}, {})["changed"] is True  # type: ignore[arg-type]
    assert taken == [parsed]


def test_all_modules_but_those_for_other_hosts_run_here() -> None:
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    loading = {
        path.stem
        for path in (ROOT / "plugins/action").glob("*.py")
        if f'_module = load("{path.stem}")' in path.read_text()
    }
    assert loading == modules - SENT


def test_a_module_that_is_not_to_be_had_is_sent() -> None:
    assert here.load("no_such_module") is None
    assert here.load("timeline_mark") is not None
