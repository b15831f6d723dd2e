# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rollout_lock: the second rollout is refused while the first one's playbook runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.modules import rollout_lock as module
from ansible_collections.iter8.kfserving.tests.support.cluster_modules import documented, returned


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another playbook, as far as the lock can tell."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def mine() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def ask(folder: Path, pid: int, check_mode: bool = False, **more: Any) -> bool:
    given = {"state": "held", "record": str(folder / "runs/e2e.json"), "artifacts": None, "owner_pid": pid}
    given["forget"] = False
    return module.ensure({**given, **more}, check_mode)


def locks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.lock"))


def test_the_documentation_tells_what_is_declared() -> None:
    options = documented(module)
    assert set(options) == set(module.ARGUMENTS)
    for name, declared in module.ARGUMENTS.items():
        assert {key: options[name].get(key) for key in declared} == declared, name
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task["iter8.kfserving.rollout_lock"]) <= set(options)
    assert returned(module) == {"lock"}


def test_the_second_is_refused_while_the_first_runs(
    tmp_path: Path, other: subprocess.Popen[bytes], mine: int
) -> None:
    assert ask(tmp_path, other.pid, artifacts=str(tmp_path / "a"))
    assert not ask(tmp_path, other.pid, artifacts=str(tmp_path / "a"))
    for check_mode in (False, True):
        with pytest.raises(
            module.LockHeld, match=rf"under way already: process {other.pid}, .*/a\. Nothing was"
        ):
            ask(tmp_path, mine, check_mode, artifacts=str(tmp_path / "b"))
    assert not ask(tmp_path, other.pid, artifacts=str(tmp_path / "a")), "the first one still has it"


def test_what_a_killed_playbook_left_holds_up_nobody(
    tmp_path: Path, other: subprocess.Popen[bytes], mine: int
) -> None:
    ask(tmp_path, other.pid)
    other.kill()
    other.wait()
    assert ask(tmp_path, mine)
    assert not ask(tmp_path, mine)


def test_a_number_that_another_process_has_now_is_not_the_playbook(tmp_path: Path, mine: int) -> None:
    ask(tmp_path, mine)
    path = tmp_path / "runs/e2e.json.lock"
    path.write_text(path.read_text().replace('"start_time": "', '"start_time": "9'))
    assert ask(tmp_path, mine + 1 if mine < 2 else 1)


def test_runs_of_two_records_do_not_share_a_folder_of_artefacts(
    tmp_path: Path, other: subprocess.Popen[bytes], mine: int
) -> None:
    ask(tmp_path, other.pid, artifacts=str(tmp_path / "a"))
    second = str(tmp_path / "runs/prod.json")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(module.LockHeld, match="Name another folder"):
        ask(tmp_path, mine, record=second, artifacts=str(tmp_path / "link"))
    assert ask(tmp_path, mine, record=second, artifacts=str(tmp_path / "b"))
    assert locks(tmp_path) == ["e2e.json.lock", "prod.json.lock"]


def test_it_is_given_back_by_its_owner_or_when_nobody_has_it(
    tmp_path: Path, other: subprocess.Popen[bytes], mine: int
) -> None:
    ask(tmp_path, other.pid)
    assert not ask(tmp_path, mine, state="released")
    assert locks(tmp_path) == ["e2e.json.lock"]
    assert ask(tmp_path, other.pid, True, state="released")
    assert locks(tmp_path) == ["e2e.json.lock"]
    other.kill()
    other.wait()
    assert ask(tmp_path, mine, state="released")
    assert not ask(tmp_path, mine, state="released")
    assert locks(tmp_path) == []


def test_check_mode_writes_nothing(tmp_path: Path, mine: int) -> None:
    assert ask(tmp_path, mine, True)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_read_is_nobodys(tmp_path: Path, mine: int) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/e2e.json.lock").write_text("[]")
    assert ask(tmp_path, mine)


def test_a_run_is_forgotten_with_the_rollouts_of_its_list_and_no_other_is(tmp_path: Path, mine: int) -> None:
    ask(tmp_path, mine)
    runs = tmp_path / "runs"
    (runs / "e2e.rollouts").mkdir()
    for name in ("e2e.json", "other.json", "e2e.rollouts/a.json"):
        (runs / name).touch()
    assert ask(tmp_path, mine, check_mode=True, state="released", forget=True)
    assert len(list(runs.iterdir())) == 4
    assert ask(tmp_path, mine, state="released", forget=True)
    assert [path.name for path in runs.iterdir()] == ["other.json"]
    assert not ask(tmp_path, mine, state="released", forget=True)


def test_what_was_planted_in_the_place_of_a_record_goes_and_what_a_link_names_stays(
    tmp_path: Path, mine: int
) -> None:
    ask(tmp_path, mine)
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.json").touch()
    (runs / "e2e.rollouts").symlink_to(elsewhere)
    (runs / "e2e.json").mkdir()
    assert ask(tmp_path, mine, state="released", forget=True)
    assert list(runs.iterdir()) == []
    assert (elsewhere / "a.json").exists()


def test_a_lock_that_is_given_back_forgets_nothing_by_itself(tmp_path: Path, mine: int) -> None:
    ask(tmp_path, mine)
    (tmp_path / "runs/e2e.json").touch()
    assert ask(tmp_path, mine, state="released")
    assert (tmp_path / "runs/e2e.json").exists()
