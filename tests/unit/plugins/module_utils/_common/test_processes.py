# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_record_outlives_its_way_through_json() -> None:
    record = json.loads(json.dumps(processes.own_record()))
    assert record["pid"] == os.getpid()
    assert processes.alive(record)


@pytest.mark.parametrize(
    "wrong", [{"boot_id": "another"}, {"boot_id": None}, {"start_time": "1"}, {"start_time": None}]
)
def test_another_process_with_its_number_is_neither_believed_nor_signalled(
    child: subprocess.Popen[bytes], wrong: dict[str, Any]
) -> None:
    other = {**processes.record_of(child.pid), **wrong}
    assert not processes.alive(other)
    assert processes.send(other, signal.SIGKILL) is False
    assert child.poll() is None


def test_one_that_ended_is_not_alive_though_nobody_has_asked_for_its_end(
    child: subprocess.Popen[bytes],
) -> None:
    record = processes.record_of(child.pid)
    assert processes.alive(record)
    assert processes.send(record, signal.SIGKILL) is True
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # leaves the zombie
    found = processes.stat(child.pid)
    assert found is not None
    assert found.ended
    assert not processes.alive(record)
    assert processes.start_time(child.pid) is None
    assert processes.send(record, signal.SIGKILL) is False
    child.wait()
    assert processes.stat(child.pid) is None
    assert processes.send(record, signal.SIGKILL) is False


def test_no_record_is_of_nobody() -> None:
    assert not processes.alive(None)
    assert not processes.alive({})


def test_stat_reads_past_a_name_with_blanks_and_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(state: str, threads: int) -> None:
        line = f"7 (a) S 1 (b) {state} 1 7 9 " + "0 " * 13 + f"{threads} 0 4711 0"
        monkeypatch.setattr("builtins.open", lambda *_arguments, **_options: io.StringIO(line))

    show("S", 1)
    assert processes.stat(7) == processes.Stat(session=9, start_time="4711", ended=False)
    show("Z", 1)
    assert processes.stat(7) == processes.Stat(session=9, start_time="4711", ended=True)
    show("Z", 2)  # its other threads still hold its files and ports
    assert processes.stat(7) == processes.Stat(session=9, start_time="4711", ended=False)


def test_where_there_is_no_proc_ps_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "stat", lambda _pid: None)
    monkeypatch.setattr(processes.os.path, "isdir", lambda _path: False)
    asked: list[list[str]] = []

    def run(command: list[str], **_options: Any) -> Any:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "Sat Nov 28 05:00:00 2026\n", "")

    monkeypatch.setattr(processes.subprocess, "run", run)
    assert processes.start_time(7) == "Sat Nov 28 05:00:00 2026"
    assert asked == [["ps", "-o", "lstart=", "-p", "7"]]
