# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common import files
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("data", ["ein Wörtchen\n", "ein Wörtchen\n".encode(), "", b"\x00\xff"])
def test_the_file_holds_just_what_was_given(tmp_path: Path, data: str | bytes) -> None:
    path = tmp_path / "file"
    path.write_text("an old content, longer than the new one")
    write_atomically(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_the_mode_is_the_one_asked_for_whatever_umask_and_old_file_say(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o640)
    before = os.umask(0o077)
    try:
        write_atomically(path, "new", mode)
    finally:
        os.umask(before)
    assert mode_of(path) == mode


def test_only_the_owner_may_read_it_where_nothing_is_said(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "secret")
    assert mode_of(tmp_path / "file") == 0o600


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("untouched")
    path.symlink_to(victim)
    write_atomically(path, "new")
    assert not path.is_symlink()
    assert (path.read_text(), victim.read_text()) == ("new", "untouched")


def test_the_temporary_name_cannot_be_foreseen_and_is_never_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("untouched")
    # The names that writers before this one used, and the first that this one will try.
    planted = [tmp_path / f".file.{os.getpid()}", tmp_path / ".file.new", tmp_path / ".file.guessed"]
    for link in planted:
        link.symlink_to(victim)
    names = iter(["guessed", "another"])
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: names)
    used: list[str] = []
    replace = os.replace

    def watch(source: str, target: Path) -> None:
        used.append(source)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", watch)
    write_atomically(path, "new")
    assert used == [str(tmp_path / ".file.another")]
    assert victim.read_text() == "untouched"
    assert all(link.is_symlink() for link in planted)


def test_two_writes_use_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(files.os, "replace", lambda source, _target: used.append(source))
    for _time in range(2):
        write_atomically(tmp_path / "file", "new")
    assert len(set(used)) == 2
    assert all(Path(name).parent == tmp_path for name in used), "another file system could not be renamed to"


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old", 0o640)

    def fail(*_arguments: Any) -> None:
        raise error

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert mode_of(path) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", "new")


def test_the_disk_has_it_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda handle: (steps.append("fsync"), sync(handle)))
    monkeypatch.setattr(files.os, "replace", lambda *pair: (steps.append("replace"), replace(*pair)))
    write_atomically(tmp_path / "file", "new")
    write_atomically(tmp_path / "file", "newer", durable=False)
    assert steps == ["fsync", "replace", "replace"]
    assert (tmp_path / "file").read_text() == "newer"
