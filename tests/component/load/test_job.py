# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached loads: started, looked at, stopped, killed, removed; and what is refused before a start."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import ensure as managed
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import job
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import package as source
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import state as store
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options
from ansible_collections.iter8.kfserving.tests.support.busy import stalled
from ansible_collections.iter8.kfserving.tests.support.waiting import until

DEFAULTS: dict[str, Any] = {
    "name": "one", "state": "started", "rate": 50, "pacing": "open", "catch_up": True, "calls": 0,
    "arrival": "uniform", "seed": 0, "repeat": False,
    "connections": 2, "connection_modes": "keep-alive", "warmup": 0, "abort_failures": 0, "ledger_limit": 100,
    "verify": True, "labels": "",
    "duration": "0", "timeout": "5s", "connect_check": True,
}  # fmt: skip


@pytest.fixture
def ensure(serve: Any, tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """What the module does, against a server that names a revision; whatever runs is removed at the end."""
    server = serve(lambda visit: visit.ok(headers=b"X-Revision: rev-1\r\n"))
    base = str(tmp_path / "loads")

    def do(check_mode: bool = False, **more: Any) -> dict[str, Any]:
        arguments = {
            **DEFAULTS,
            "url": server.url,
            "state_dir": base,
            "revision_header": "X-Revision",
            **more,
        }
        return managed.ensure_state(arguments, check_mode)

    do.base = base  # type: ignore[attr-defined]
    do.server = server  # type: ignore[attr-defined]
    yield do
    for folder in Path(base).iterdir() if Path(base).exists() else []:
        job.remove(base, folder.name)


def record(ensure: Any, name: str = "one") -> dict[str, Any]:
    return dict(json.loads((Path(ensure.base) / name / "process.json").read_text()))


def test_the_life_of_a_load(ensure: Any, tmp_path: Path) -> None:
    dest = tmp_path / "load.json"
    first = ensure(dest=str(dest))
    assert (first["changed"], first["status"], first["result"]) == (True, "running", None)
    assert first["diff"] == {"before": {"state": "absent"}, "after": {"state": "running"}}
    again = ensure(dest=str(dest))
    assert (again["changed"], again["status"]) == (False, "running")
    with pytest.raises(LoadError, match="'one' is running with other arguments: stop it first"):
        ensure(dest=str(dest), rate=51)
    until(lambda: job.progress(ensure.base, "one")["requests"] >= 20, 10, "what it reports")
    progress = job.progress(ensure.base, "one")
    assert progress["state"] == "running"
    assert progress["revisions"] == {"rev-1": {"requests": progress["requests"], "failed": 0}}
    assert time.time() - progress["heartbeat"] < 3
    assert not dest.exists()
    stopped = ensure(state="stopped", url=None)
    assert (stopped["changed"], stopped["status"]) == (True, "stopped")
    assert stopped["result"] == json.loads(dest.read_text())
    assert stopped["result"]["LoadTest"]["requests"] == ensure.server.requests
    assert stopped["report"].startswith("Ended after ")
    assert not processes.alive(record(ensure))
    assert ensure(state="stopped", url=None)["changed"] is False
    assert ensure(state="absent", url=None)["changed"] is True
    assert not Path(ensure.base, "one").exists()
    assert dest.exists()
    gone = ensure(state="absent", url=None)
    assert (gone["changed"], gone["status"], gone["result"]) == (False, "absent", None)
    assert ensure(state="stopped", url=None)["changed"] is False


def test_finished_runs_to_the_end_once(ensure: Any) -> None:
    first = ensure(state="finished", calls=20, rate=200)
    assert (first["changed"], first["status"]) == (True, "finished")
    assert first["result"]["RetCodes"] == {"200": 20}
    again = ensure(state="finished", calls=20, rate=200)
    assert (again["changed"], again["result"]) == (False, first["result"])
    other = ensure(state="finished", calls=21, rate=200)
    assert (other["changed"], other["result"]["RetCodes"]) == (True, {"200": 21})
    assert ensure(calls=20, rate=200)["changed"] is True  # started is for a run that goes on


def test_finished_waits_for_one_that_runs(ensure: Any) -> None:
    ensure(calls=30, rate=100)
    waited = ensure(state="finished", url=None)
    assert (waited["changed"], waited["status"]) == (False, "finished")
    with pytest.raises(LoadError, match="never finishes"):
        ensure(name="endless", state="finished")
    with pytest.raises(LoadError, match="no load of this name to wait for"):
        ensure(name="nobody", state="finished", url=None)


def test_check_mode_starts_and_stops_nothing(ensure: Any) -> None:
    foreseen = ensure(check_mode=True)
    assert (foreseen["changed"], foreseen["status"]) == (True, "absent")
    assert foreseen["diff"]["after"] == {"state": "running"}
    assert not Path(ensure.base).exists()
    assert ensure.server.requests == 0
    ensure()
    assert ensure(check_mode=True)["changed"] is False
    with pytest.raises(LoadError, match="other arguments"):
        ensure(check_mode=True, rate=3)
    for state in ("stopped", "absent"):
        assert ensure(check_mode=True, state=state, url=None)["changed"] is True
        assert job.state(ensure.base, "one") == "running"
    before = ensure.server.requests
    until(lambda: ensure.server.requests > before, 10, "the requests")  # and it sends on


def test_killed_loses_at_most_its_last_second(ensure: Any, tmp_path: Path) -> None:
    dest = tmp_path / "load.json"
    ensure(dest=str(dest), rate=100)
    until(lambda: job.progress(ensure.base, "one")["requests"] >= 100, 10, "what it reports")
    seen = job.progress(ensure.base, "one")["requests"]
    processes.send(record(ensure), signal.SIGKILL)
    until(lambda: job.state(ensure.base, "one") == "interrupted", 10, "its end")
    result = ensure(state="stopped", url=None)["result"]
    own = result["LoadTest"]
    assert own["state"] == "interrupted"
    assert own["requests"] >= seen
    assert ensure.server.requests - own["requests"] <= 110
    assert sum(result["RetCodes"].values()) == own["requests"] == sum(row["ok"] for row in own["timeline"])
    assert 90 <= own["actual_rate"] <= 110
    assert json.loads(dest.read_text()) == result
    # The name is free again.
    assert ensure()["changed"] is True


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_system_without_pidfds(ensure: Any, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Older kernels do not know of them, and some containers forbid them."""

    def refuse(_pid: int) -> int:
        raise OSError(code, os.strerror(code))

    ensure()
    monkeypatch.setattr(processes.os, "pidfd_open", refuse)
    other = {**record(ensure), "start_time": "1"}
    assert processes.send(other, signal.SIGKILL) is False
    assert ensure(state="stopped", url=None)["status"] == "stopped"
    assert processes.send(record(ensure), signal.SIGKILL) is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_alike(ensure: Any, number: int) -> None:
    ensure()
    until(lambda: ensure.server.requests > 5, 10, "the requests")
    processes.send(record(ensure), number)
    until(lambda: job.state(ensure.base, "one") != "running", 10, "its end")
    result = job.result(ensure.base, "one")
    assert result is not None
    assert result["LoadTest"]["state"] == "stopped"
    assert result["LoadTest"]["requests"] == ensure.server.requests


def test_a_reboot_leaves_what_the_next_start_cleans_up(ensure: Any) -> None:
    """After a boot the recorded number may belong to anybody: it is neither believed nor signalled."""
    ensure()
    true = record(ensure)
    path = Path(ensure.base) / "one" / "process.json"
    for wrong in ({"boot_id": "of another boot"}, {"start_time": "1"}):
        path.write_text(json.dumps({**true, **wrong}))
        assert job.state(ensure.base, "one") == "interrupted"
        assert job.stop(ensure.base, "one") is False
        assert processes.alive(true)
        (Path(ensure.base) / "one" / "result.json").unlink(missing_ok=True)
    assert ensure(rate=77)["changed"] is True
    assert processes.send(true, signal.SIGKILL)
    assert job.state(ensure.base, "one") == "running"


def test_a_stop_takes_effect_though_nothing_is_answered(ensure: Any, serve: Any) -> None:
    """Within the time-out of the requests in flight, and each of them is in the report."""
    server = serve(lambda visit: visit.hang())
    ensure(url=server.url, rate=20, timeout="700ms")
    until(lambda: server.requests >= 5, 10, "the requests")
    asked, before = time.time(), stalled()
    stopped = ensure(state="stopped", url=None)
    waited = stalled() - before
    assert stopped["status"] == "stopped"
    own = stopped["result"]["LoadTest"]
    # Whatever else the machine has to do: to tell a process of it takes time as well.
    assert max(row["end"] for row in own["ledger"]) - asked < 0.7 + 0.3 + waited
    assert own["classes"] == {"timeout": server.requests}
    assert own["requests"] == own["failed"] == len(own["ledger"]) == server.requests
    assert stopped["report"].count("Code  -1 : ") == 1


def test_two_starts_at_once_start_one(ensure: Any) -> None:
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(ensure()["changed"])) for _unused in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]


def test_it_is_detached_and_secrets_are_not_stored(ensure: Any, tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    payload.write_text("p4yload")
    ensure(secret_headers={"Authorization": "Bearer s3cret"}, payload_file=str(payload))
    until(lambda: ensure.server.requests > 2, 10, "the requests")
    assert b"Authorization: Bearer s3cret" in ensure.server.heads[0]
    assert ensure.server.bodies[0] == b"p4yload"
    pid = record(ensure)["pid"]
    assert os.getsid(pid) != os.getsid(0)
    opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not [
        name
        for name in opened
        if "socket" not in name and name.startswith(str(tmp_path)) and "/one/" not in f"{name}/"
    ]
    assert os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/1") == os.devnull
    ensure(state="stopped", url=None)
    for path in Path(ensure.base).rglob("*"):
        if path.is_file():
            assert b"s3cret" not in path.read_bytes(), path
            assert b"p4yload" not in path.read_bytes(), path
    assert Path(ensure.base, "one").stat().st_mode & 0o077 == 0
    assert b"s3cret" not in Path(f"/proc/{os.getpid()}/cmdline").read_bytes()


def test_a_query_is_not_stored(ensure: Any, tmp_path: Path) -> None:
    dest = tmp_path / "load.json"
    done = ensure(state="finished", url=f"{ensure.server.url}&token=s3cret", calls=3, dest=str(dest))
    assert b"&token=s3cret " in ensure.server.heads[0]
    assert done["result"]["URL"].endswith("/path?q=***&token=***")
    assert "s3cret" not in json.dumps(done)
    for path in [dest, *Path(ensure.base).rglob("*")]:
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


def test_a_destination_that_is_a_link_is_followed(ensure: Any, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "load.json")
    ensure(state="finished", calls=3, dest=str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "load.json").read_text())["RetCodes"] == {"200": 3}


def test_a_result_is_delivered_again_where_it_is_missing_or_another(ensure: Any, tmp_path: Path) -> None:
    dest = tmp_path / "load.json"
    arguments = {"state": "finished", "calls": 3, "dest": str(dest)}
    assert ensure(**arguments)["changed"] is True
    assert ensure(**arguments)["changed"] is False
    for damage in (dest.unlink, lambda: dest.write_bytes(b"\xff\xfe")):
        damage()
        again = ensure(**arguments)
        assert again["changed"] is True
        assert json.loads(dest.read_text()) == again["result"]
    other = tmp_path / "other.json"
    assert ensure(state="stopped", url=None, dest=str(other))["changed"] is True
    assert other.read_bytes() == dest.read_bytes()


def test_a_destination_that_cannot_be_one_leaves_a_load_running(ensure: Any) -> None:
    ensure()
    for state in ("stopped", "absent"):
        with pytest.raises(LoadError, match="The folder of the destination /nowhere/x does not exist"):
            ensure(state=state, url=None, dest="/nowhere/x")
    assert job.state(ensure.base, "one") == "running"


def test_a_load_ends_itself_and_writes_its_destination(ensure: Any, tmp_path: Path) -> None:
    dest = tmp_path / "load.json"
    ensure(calls=10, rate=100, dest=str(dest))
    assert job.wait(ensure.base, "one", 10)
    assert json.loads(dest.read_text())["LoadTest"]["state"] == "finished"


@pytest.mark.parametrize("again", [False, True])
def test_a_load_whose_folder_was_removed_ends_and_is_told_from_the_next_one(
    ensure: Any, tmp_path: Path, again: bool
) -> None:
    """Nobody could stop it any more, and what it goes on counting is not the other's."""
    dest = tmp_path / "load.json"
    ensure(dest=str(dest), rate=20)
    until(lambda: job.progress(ensure.base, "one")["requests"] >= 20, 10, "what it reports")
    first = record(ensure)
    shutil.rmtree(Path(ensure.base) / "one")
    if again:
        ensure(rate=20)
    try:
        until(lambda: not processes.alive(first), 10, "its end")
    finally:
        processes.send(first, signal.SIGKILL)
    own = json.loads(dest.read_text())["LoadTest"]
    assert own["state"] == "interrupted"
    assert own["requests"] == own["ok"] == sum(row["ok"] for row in own["timeline"])
    if again:
        assert job.state(ensure.base, "one") == "running"
        other = ensure(state="stopped", url=None)["result"]["LoadTest"]
        assert other["state"] == "stopped"
        assert other["started"] > own["started"]
        assert own["requests"] + other["requests"] == ensure.server.requests
    else:
        assert own["requests"] == ensure.server.requests
        assert not Path(ensure.base, "one").exists()


def test_a_full_disk_does_not_end_the_load(ensure: Any) -> None:
    """Its state cannot be written for a while; the requests go on, and the end is told in full."""
    ensure(rate=100)
    until(lambda: job.progress(ensure.base, "one")["requests"] >= 50, 10, "what it reports")
    pid = record(ensure)["pid"]
    import resource

    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    before = ensure.server.requests
    until(lambda: ensure.server.requests > before + 210, 10, "the requests")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    stopped = ensure(state="stopped", url=None)
    assert stopped["status"] == "stopped"
    own = stopped["result"]["LoadTest"]
    assert own["requests"] == ensure.server.requests == sum(row["ok"] for row in own["timeline"])
    assert "times the state could not be written" in (Path(ensure.base) / "one" / "log").read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 40 MiB, and whatever is needed to make one."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    with open(place / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_a_load_on_a_full_disk_is_not_started(ensure: Any, small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(LoadError, match="cannot be written: No space left on device|No room for"):
        ensure(state_dir=str(small_disk / "loads"))
    assert not (small_disk / "loads").exists()
    assert ensure.server.requests == 0


@pytest.mark.parametrize("killed", [False, True])
def test_a_disk_that_fills_up_keeps_the_whole_result(
    *, ensure: Any, small_disk: Path, tmp_path: Path, killed: bool
) -> None:
    """The load goes on, and room for its result was kept; then nothing stands in the way of removing it."""
    base, dest = str(small_disk / "loads"), tmp_path / "load.json"
    given = {"state_dir": base, "rate": 100, "dest": str(dest)}
    ensure(**given)
    until(lambda: job.progress(base, "one")["requests"] >= 20, 10, "what it reports")
    fill(small_disk)
    before = ensure.server.requests
    until(lambda: ensure.server.requests > before + 120, 10, "the requests")
    if killed:
        processes.send(json.loads((small_disk / "loads/one/process.json").read_text()), signal.SIGKILL)
        until(lambda: job.state(base, "one") == "interrupted", 10, "its end")
    own = ensure(state="stopped", url=None, state_dir=base)["result"]["LoadTest"]
    assert own["state"] == ("interrupted" if killed else "stopped")
    if not killed:
        assert own["requests"] == ensure.server.requests == sum(row["ok"] for row in own["timeline"])
    assert json.loads(dest.read_text())["LoadTest"] == own
    assert ensure(state="absent", url=None, state_dir=base)["status"] == "absent"
    assert not (small_disk / "loads" / "one").exists()


def test_a_result_that_reached_its_destination_is_not_replaced(ensure: Any, tmp_path: Path) -> None:
    """Its process could not write the state folder: what it left there is older than what it delivered."""
    dest = tmp_path / "load.json"
    ensure(dest=str(dest))
    until(lambda: job.progress(ensure.base, "one")["requests"] >= 20, 10, "what it reports")
    (Path(ensure.base) / "one" / "result.json").mkdir()
    processes.send(record(ensure), signal.SIGTERM)
    until(lambda: not processes.alive(record(ensure)), 10, "its end")
    delivered = json.loads(dest.read_text())
    (Path(ensure.base) / "one" / "result.json").rmdir()
    assert job.state(ensure.base, "one") == "interrupted"
    assert ensure(state="stopped", url=None)["result"] == delivered == json.loads(dest.read_text())
    assert delivered["LoadTest"]["requests"] == ensure.server.requests


def test_absent_removes_also_what_cannot_be_told(ensure: Any, tmp_path: Path) -> None:
    """The folder of its destination is gone, so that an interrupted load's result cannot be written."""
    folder = tmp_path / "gone"
    folder.mkdir()
    ensure(dest=str(folder / "load.json"))
    processes.send(record(ensure), signal.SIGKILL)
    until(lambda: job.state(ensure.base, "one") == "interrupted", 10, "its end")
    folder.rmdir()
    with pytest.raises(LoadError, match="is stopped, but its result cannot be written"):
        ensure(state="stopped", url=None)
    assert ensure(state="absent", url=None)["changed"] is True
    assert not Path(ensure.base, "one").exists()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"url": "127.0.0.1/"}, "must begin with http"),
        ({"url": "http://127.0.0.1:1/"}, "Cannot connect to 127.0.0.1:1"),
        ({"rate": -1}, "The rate -1"),
        ({"connections": 0}, "connections 0"),
        ({"duration": "soon"}, "The duration 'soon' cannot be read"),
        ({"timeout": "soon"}, "The timeout 'soon' cannot be read"),
        ({"stop_at": "noon"}, "The time 'noon' cannot be read"),
        ({"payload_file": "/nowhere/x"}, "payload file /nowhere/x cannot be read: No such file"),
        ({"dest": "/nowhere/x"}, "The folder of the destination /nowhere/x does not exist"),
        ({"payload_file": "/dev/zero"}, "payload file /dev/zero is not a regular file"),
        ({"stop_at": "nan"}, "The time 'nan' is none"),
        ({"stop_at": "2001-01-01T00:00:00Z"}, "The time to stop at, 2001-01-01T00:00:00Z, has passed"),
        ({"headers": {"A": {"b": 1}}}, "value of header 'A' must be a text or a number"),
        ({"dest": "/tmp"}, "is a folder"),
        ({"dest": "/dev/zero"}, "The destination /dev/zero is not a regular file"),
        ({"dest": "/proc/x"}, "cannot be written"),
        ({"dest": "/tmp/a\0b"}, r"The destination '/tmp/a\\x00b' has a NUL byte"),
        ({"state_dir": "/tmp/a\0b"}, r"The state folder '/tmp/a\\x00b' has a NUL byte"),
        ({"payload_file": "/tmp/a\0b"}, r"The payload file '/tmp/a\\x00b' has a NUL byte"),
        ({"ca_file": "/tmp/a\0b"}, r"The ca_file '/tmp/a\\x00b' has a NUL byte"),
        ({"name": "../x"}, "The name '../x' is not valid"),
        ({"state_dir": "/dev/null/x"}, "cannot be written|cannot be used"),
    ],
)
def test_bad_input_starts_nothing(ensure: Any, more: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        ensure(**more)
    assert not Path(ensure.base).exists()
    assert ensure.server.requests == 0


def test_a_state_folder_that_may_not_be_entered(ensure: Any, tmp_path: Path) -> None:
    """As a user without the right to it, which root has to become first."""
    closed = tmp_path / "closed"
    closed.mkdir()
    pid = os.fork()
    if not pid:
        code = 2
        with contextlib.suppress(BaseException):
            closed.chmod(0)
            if not os.geteuid():
                os.setgid(65534)
                os.setuid(65534)
            try:
                ensure(state_dir=str(closed / "x" / "loads"))
            except LoadError as error:
                code = 0 if "cannot be written: Permission denied" in str(error) else 1
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    closed.chmod(0o700)
    assert not list(closed.iterdir())


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


def open_to_its_group(path: Path) -> None:
    os.chown(path, -1, 65_533)
    path.chmod(0o770)


def somebody_elses(path: Path) -> None:
    os.chown(path, 64_321, -1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("spoil", [open_to_all, open_to_its_group, somebody_elses])
@pytest.mark.parametrize("which", ["loads", "loads/one", "dest"])
def test_a_folder_that_others_can_write_to_is_refused(
    ensure: Any, tmp_path: Path, spoil: Callable[[Path], None], which: str
) -> None:
    """Before anything of the load is put there: its code runs from the one, the other is evidence."""
    for name in ("loads", "loads/one", "dest"):
        (tmp_path / name).mkdir(mode=0o700)
    spoil(tmp_path / which)
    for check_mode in (True, False):
        with pytest.raises(LoadError, match=f"{tmp_path / which}"):
            ensure(check_mode=check_mode, dest=str(tmp_path / "dest" / "load.json"))
    assert [*(tmp_path / "loads" / "one").iterdir(), *(tmp_path / "dest").iterdir()] == []
    assert ensure.server.requests == 0


def test_the_folders_that_a_load_makes_are_its_users_own_whatever_the_umask(ensure: Any) -> None:
    before = os.umask(0)
    try:
        ensure()
    finally:
        os.umask(before)
    for folder in (Path(ensure.base), Path(ensure.base) / "one"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert ensure(state="stopped", url=None)["status"] == "stopped"
    assert ensure(calls=3)["changed"] is True


def test_a_name_server_that_is_slow_when_a_load_starts_is_waited_for(
    ensure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it takes too long, nothing is left running of which nobody knows."""
    whole = job.copy_to
    slow = "import socket, time\nwhole = socket.getaddrinfo\n"
    slow += "socket.getaddrinfo = lambda *a, **b: (time.sleep(4), whole(*a, **b))[1]\n"

    def with_a_slow_resolver(folder: Path, http2_too: bool) -> Path:
        main = whole(folder, http2_too)
        future = "from __future__ import annotations\n"
        main.write_text(main.read_text().replace(future, future + slow, 1))
        return main

    monkeypatch.setattr(job, "copy_to", with_a_slow_resolver)
    named = ensure.server.url.replace("127.0.0.1", "localhost")
    before = time.monotonic()
    assert ensure(url=named, calls=5)["changed"] is True
    assert time.monotonic() - before > 4
    until(lambda: ensure.server.requests == 5, 10, "the requests")
    ensure(state="absent", url=None)
    monkeypatch.setattr(job, "START_SECONDS", 2.5)
    with pytest.raises(LoadError, match="it did not come up"):
        ensure(url=named, calls=7)
    assert not Path(ensure.base, "one").exists()
    time.sleep(3)
    assert ensure.server.requests == 5


def test_no_room(ensure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    space = namedtuple("space", "f_bavail f_frsize")  # noqa: PYI024
    monkeypatch.setattr(store.os, "statvfs", lambda _path: space(1000, 4096))
    with pytest.raises(LoadError, match="No room for the state folder .*: 3 MiB are free, 32 MiB are needed"):
        ensure()
    assert not Path(ensure.base).exists()


def test_an_interpreter_that_does_not_run_leaves_nothing(ensure: Any) -> None:
    plan = job.prepare(Options(url=ensure.server.url, name="broken", rate=1), state_dir=ensure.base)
    for python in ("/nowhere/python", "/bin/false"):
        with pytest.raises(LoadError, match="The load could not be started"):
            job.start(plan, ensure.base, python)
        assert job.state(ensure.base, "broken") == "absent"
        assert not Path(ensure.base, "broken").exists()


def test_every_part_is_copied(tmp_path: Path) -> None:
    copy = source.copy_to(tmp_path)
    here = Path(source.__file__).parents[1]
    # What runs outside the job is not needed in it.
    outside = {f"job/{name}.py" for name in ("arguments", "ensure", "inputs", "job", "package", "together")}
    for room in (here, here.with_name("_common")):
        parts = {str(path.relative_to(room)) for path in room.rglob("*.py")}
        if room == here:
            parts = {part for part in parts - outside if not part.startswith("pod/")}
        else:
            parts = {"__init__.py", "files.py", "percentile.py", "processes.py", "tls.py"}
        there = copy.parent.with_name(room.name)
        assert {str(path.relative_to(there)) for path in there.rglob("*.py")} == parts
        for part in parts:
            assert (there / part).read_bytes() == (room / part).read_bytes()


@pytest.mark.parametrize("how", ["by path", "as a module", "from beside it"])
def test_the_copy_runs_by_itself(ensure: Any, tmp_path: Path, how: str) -> None:
    program = source.copy_to(tmp_path / "code")
    command = {
        "by path": [str(program)],
        "as a module": ["-m", "engine._load.main"],
        "from beside it": ["-m", "_load.main"],
    }[how]
    folder = program.parents[1] if how == "from beside it" else program.parents[2]
    given = json.dumps({"url": ensure.server.url, "rate": 100, "calls": 10})
    done = subprocess.run(
        [sys.executable, "-S", *command, "--json", str(tmp_path / "out.json")],
        input=given, capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Code 200 : 10 (100.0 %)" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["RetCodes"] == {"200": 10}
    merged = subprocess.run(
        [sys.executable, *command, "--merge", *[str(tmp_path / "out.json")] * 3],
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert "Code 200 : 30 (100.0 %)" in merged.stdout, merged.stderr
    wrong = subprocess.run(
        [sys.executable, *command],
        input="{}",
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr


def test_state_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert store.base_folder(None) == tmp_path / "iter8-kfserving" / "loads"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert store.base_folder(None) == Path.home() / ".local/state/iter8-kfserving/loads"
    assert store.base_folder("/x/y") == Path("/x/y")


def test_progress_of_nobody() -> None:
    assert job.progress("/nowhere", "nobody") == {
        "state": "absent", "requests": 0, "failed": 0, "revisions": {}, "started": None, "heartbeat": None,
    }  # fmt: skip


def test_half_written_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"a": 1}\n{"b": 2}\n{"c"')
    assert store.read_lines(path, 1000) == [{"a": 1}, {"b": 2}]
    assert store.read_lines(path, 9) == [{"a": 1}]
    assert store.read_lines(tmp_path / "missing", 9) == []


def test_moments() -> None:
    assert managed.moment("1970-01-01T00:01:00+00:00") == managed.moment("1970-01-01T00:01:00Z") == 60
    assert managed.moment("1795382742.5") == 1795382742.5
