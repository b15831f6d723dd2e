# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import boot_id, start_time
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import records
from ansible_collections.iter8.kfserving.tests.support.waiting import until

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print('child', p.pid, flush=True); time.sleep(60)"
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "processes").mkdir()
    yield tmp_path
    records.end_all(records.read_all(tmp_path / "processes"), 0)


def python(state: Path, code: str, identity: str = "one", **changes: Any) -> records.Process:
    options: dict[str, Any] = {"role": "pod", "log": state / "log", "env": dict(os.environ), "cwd": state}
    argv = [sys.executable, "-c", code]
    return records.start(state / "processes", identity, argv, **{**options, **changes})


def zombie(pid: int) -> bool:
    """Whether the process has ended, and its parent has not asked."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


def reaped(several: Sequence[records.Process]) -> None:
    """A killed process takes real time to end, which no clock of a test tells."""
    for process in several:
        assert process.child is not None
        process.child.wait(30)


def wait_for_log(state: Path, text: str) -> str:
    log = state / "log"
    until(lambda: text in log.read_text() and log.read_text().endswith("\n"), 10, f"a log with {text!r}")
    return log.read_text()


def test_a_started_process_has_a_record_of_itself_and_leads_a_session(state: Path) -> None:
    process = python(state, SLEEPER)
    record = json.loads((state / "processes" / "one.json").read_text())
    assert record["pid"] == process.pid
    assert record["start_time"] == start_time(process.pid)
    assert (record["role"], record["argv0"], record["id"]) == ("pod", sys.executable, "one")
    assert os.getsid(process.pid) == process.pid
    assert records.alive(process)
    assert records.read_all(state / "processes") == [process]


def test_the_program_gets_its_arguments_environment_folder_and_log(state: Path) -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ.get('A'), os.environ.get('HOME'), os.getcwd())"
    argv = [sys.executable, "-c", code, "-x", "--", "y z"]
    process = records.start(
        state / "processes", "one", argv, role="r", log=state / "log", env={"A": "1"}, cwd=state
    )
    assert process.child is not None
    assert process.child.wait(10) == 0
    assert (state / "log").read_text() == f"['-x', '--', 'y z'] 1 None {state}\n"


def test_no_descriptor_of_the_starter_leaks_into_the_program(state: Path) -> None:
    process = python(state, "import os; print(sorted(os.listdir('/proc/self/fd')))")
    assert process.child is not None
    process.child.wait(10)
    assert (state / "log").read_text() == "['0', '1', '2', '3']\n"  # 3 is the listing's own


def test_end_asks_first_and_removes_the_record(state: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(15, lambda *_: (print('asked', flush=True), sys.exit(0)))\n"
        "print('up', flush=True); time.sleep(60)"
    )
    process = python(state, code)
    wait_for_log(state, "up")
    assert records.end_all([process], 10)
    assert "asked" in (state / "log").read_text()
    assert not records.alive(process)
    assert list((state / "processes").iterdir()) == []
    assert not records.end_all([process], 10)


def test_end_kills_what_does_not_listen_after_the_grace_period(state: Path) -> None:
    process = python(state, STUBBORN)
    wait_for_log(state, "up")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 3.1:
            reaped([process])

    assert records.end_all([process], 3, clock=lambda: now[0], sleep=sleep)
    assert process.child is not None
    assert process.child.returncode == -signal.SIGKILL
    assert now[0] >= 3


def test_a_child_that_ends_while_it_is_looked_at_is_reaped(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = python(state, SLEEPER)
    assert process.child is not None
    really = records.processes.alive

    def dies(identity: Mapping[str, Any]) -> bool:
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: zombie(process.pid), 10, "one that has ended")
        return really(identity)

    monkeypatch.setattr(records.processes, "alive", dies)
    assert not records.alive(process)
    assert process.child.returncode == -signal.SIGKILL


def test_end_all_shares_one_grace_period(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = [python(state, STUBBORN, identity) for identity in "abc"]
    until(lambda: (state / "log").read_text().count("up") == 3, 10, "three that are up")
    now, kills = [0.0], []
    send = records.send

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if len(kills) == len(several):
            reaped(several)

    def noting(process: records.Process, number: int) -> bool:
        if number == signal.SIGKILL:
            kills.append(now[0])
        return send(process, number)

    monkeypatch.setattr(records, "send", noting)
    records.end_all(several, 3, clock=lambda: now[0], sleep=sleep)
    assert not any(map(records.alive, several))
    assert len(kills) == 3
    assert all(3 <= moment < 3.1 for moment in kills)


@pytest.mark.parametrize(
    "change",
    [{"start_time": "1"}, {"boot_id": "of-another-boot"}],
    ids=["another start time", "another boot"],
)
def test_a_process_that_only_shares_the_number_is_left_alone(state: Path, change: dict[str, Any]) -> None:
    stranger = python(state, SLEEPER)
    recorded = dataclasses.replace(stranger, child=None, **change)
    assert not records.alive(recorded)
    assert not records.send(recorded, signal.SIGKILL)
    recorded = dataclasses.replace(recorded, record=state / "elsewhere" / "processes" / "one.json")
    assert not records.end_all([recorded], 0)
    assert records.alive(stranger)


def test_the_children_of_a_killed_process_are_ended_too(state: Path) -> None:
    process = python(state, PARENT)
    child = int(wait_for_log(state, "child").split()[1])
    os.kill(process.pid, signal.SIGKILL)
    assert process.child is not None
    process.child.wait(10)
    ended = records.end_all([process], 1)
    assert [orphan.pid for orphan in ended] == [child]
    assert start_time(child) is None


def test_a_stranger_in_a_session_of_the_same_number_is_no_orphan(state: Path) -> None:
    """A session leader without the sandbox's mark, as if the number had been given to somebody else."""
    argv = [sys.executable, "-c", PARENT]
    stranger = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert stranger.stdout is not None
        child = int(stranger.stdout.readline().split()[1])
        recorded = records.Process("x", stranger.pid, "1", boot_id(), "pod", state / "processes" / "x.json")
        assert records.orphans([recorded]) == []
        records.end_all([recorded], 0)
        assert stranger.poll() is None
        os.kill(child, 0)
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        stranger.wait()
        stranger.stdout.close()  # type: ignore[union-attr]


def test_a_zombie_has_ended(state: Path) -> None:
    # A child that nobody holds is waited for by Python.
    child = python(state, "pass")
    process = dataclasses.replace(child, child=None)
    until(lambda: zombie(child.pid), 10, "a zombie")
    assert not records.alive(process)


def test_a_zombie_with_threads_that_still_run_has_not_ended(state: Path) -> None:
    """The first thread of a process may end before the others: the files and ports are still open then."""
    code = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    process = python(state, code)
    until(lambda: zombie(process.pid), 10, "a zombie")
    assert records.alive(process)
    assert records.end_all([process], 0)
    assert not records.alive(process)


def test_a_program_that_does_not_exist_is_an_error_and_leaves_nothing(state: Path) -> None:
    with pytest.raises(records.ProcessError, match="one cannot be started: No such file or directory"):
        records.start(
            state / "processes", "one", ["/no/such"], role="r", log=state / "log", env={}, cwd=state
        )
    assert list((state / "processes").iterdir()) == []


def test_nothing_starts_where_it_cannot_be_recorded(state: Path) -> None:
    os.rename(state / "processes", state / "processes.closed")
    witness = state / "ran"
    with pytest.raises(records.ProcessError, match="cannot be started"):
        python(state, f"open({str(witness)!r}, 'w')")
    assert not witness.exists()
    os.rename(state / "processes.closed", state / "processes")


def test_nothing_starts_when_its_starter_died_before_it_was_recorded(state: Path) -> None:
    witness = state / "ran"
    ours, theirs = socket.socketpair()
    with theirs:
        argv = [*records._launcher(theirs, state), "touch", str(witness)]
        child = subprocess.Popen(argv, pass_fds=(theirs.fileno(),))
    ours.close()
    assert child.wait(10) == 0
    assert not witness.exists()


def test_the_same_id_is_not_started_twice_but_again(state: Path) -> None:
    first = python(state, SLEEPER)
    with pytest.raises(records.ProcessError, match=f"one runs already, as process {first.pid}"):
        python(state, SLEEPER)
    os.kill(first.pid, signal.SIGKILL)
    assert first.child is not None
    first.child.wait(10)
    assert python(state, SLEEPER).pid != first.pid


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"id": "a", "pid": "x"}', "null"])
def test_a_record_that_makes_no_sense_is_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert records.read_all(tmp_path) == []
    assert records.read_all(tmp_path / "missing") == []


def test_start_time_survives_a_name_with_brackets_and_blanks(state: Path) -> None:
    program = state / "a) R (b"
    program.symlink_to("/bin/sleep")
    process = records.start(
        state / "processes", "one", [str(program), "60"], role="r", log=state / "log", env={}, cwd=state
    )
    assert records.alive(process)
