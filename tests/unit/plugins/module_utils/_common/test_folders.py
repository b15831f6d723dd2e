# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a folder has to be before code or evidence is put there, and where the user's own lies."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common import files
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    expanded,
    home,
    require_own_folder,
    state_home,
)

OTHER = 54321


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "own"
    made.mkdir(mode=0o755)
    return made


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500, 0o2755])
def test_what_only_the_user_writes_to_is_taken(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    require_own_folder(folder)
    require_own_folder(str(folder), shared=True)


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777, 0o707])
def test_what_everybody_can_write_to_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(PermissionError) as caught:
        require_own_folder(folder)
    assert caught.value.strerror == (
        f"everybody can write to the folder {folder} (chmod go-w), "
        "so that someone else could change what is put there"
    )


def groups(monkeypatch: pytest.MonkeyPatch, name: str, group: str, members: list[str], primary: int) -> None:
    user = SimpleNamespace(pw_name=name, pw_gid=primary)
    monkeypatch.setattr(files.pwd, "getpwuid", lambda _uid: user)
    monkeypatch.setattr(files.grp, "getgrgid", lambda _gid: SimpleNamespace(gr_name=group, gr_mem=members))


@pytest.mark.parametrize(
    "case",  # the group's name and members, whether it is the user's primary one, whether it may write
    [
        ("ann", [], True, True),
        ("ann", ["ann"], True, True),
        ("ann", ["bob"], True, False),
        ("staff", [], True, False),
        ("ann", [], False, False),
    ],
)
def test_only_the_users_private_group_may_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, list[str], bool, bool]
) -> None:
    group, members, is_primary, fine = case
    folder.chmod(0o775)
    gid = folder.stat().st_gid
    groups(monkeypatch, "ann", group, members, gid if is_primary else gid + 1)
    if fine:
        require_own_folder(folder)
    else:
        with pytest.raises(PermissionError, match=r"its group can write to the folder .* \(chmod g-w\), so"):
            require_own_folder(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_someone_else_is_refused_though_it_could_be_written_to(folder: Path) -> None:
    os.chown(folder, OTHER, OTHER)
    with pytest.raises(PermissionError, match=f"the folder {folder} belongs to user {OTHER}, so"):
        require_own_folder(folder)


def test_the_folder_of_another_is_refused_whoever_asks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to user"):
        require_own_folder(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_someone_else_is_not_followed(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    require_own_folder(link)
    os.lchown(link, OTHER, OTHER)
    with pytest.raises(PermissionError, match=f"the link {link} belongs to user {OTHER}"):
        require_own_folder(link)


def test_the_systems_shared_folder_does_for_a_single_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(st_uid=0, st_gid=0, st_mode=0o041777)
    monkeypatch.setattr(files.os, "stat", lambda _path: found)
    monkeypatch.setattr(files.os, "lstat", lambda _path: found)
    require_own_folder("/tmp", shared=True)  # noqa: S108
    with pytest.raises(PermissionError):
        require_own_folder("/tmp")  # noqa: S108
    found.st_mode = 0o040777
    with pytest.raises(PermissionError):
        require_own_folder("/tmp", shared=True)  # noqa: S108


def test_what_is_no_folder_is_no_folder_of_ones_own(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(NotADirectoryError):
        require_own_folder(folder / "file")
    with pytest.raises(FileNotFoundError):
        require_own_folder(folder / "none")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HOME": "/h"}, "/h/.local/state/iter8-kfserving"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s"}, "/s/iter8-kfserving"),
        ({"HOME": "/h", "XDG_STATE_HOME": "relative"}, "/h/.local/state/iter8-kfserving"),
        ({"HOME": ""}, "/.local/state/iter8-kfserving"),
        ({}, "/of-passwd/.local/state/iter8-kfserving"),
    ],
)
def test_where_state_lies(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: str) -> None:
    monkeypatch.setattr(files.pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_dir="/of-passwd"))
    assert state_home(env) == Path(expected)
    # As everything else has it that resolves a `~`.
    monkeypatch.setattr(files.os, "environ", env)
    if "XDG_STATE_HOME" not in env:
        assert os.path.expanduser("~/.local/state/iter8-kfserving") == expected


def nobody(_who: object) -> None:
    raise KeyError("not found")


def test_without_a_home_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.pwd, "getpwuid", nobody)
    with pytest.raises(OSError, match=r"HOME is not set and user \d+ is not known here.*\(set HOME\)"):
        home({})
    monkeypatch.delenv("HOME", raising=False)
    with pytest.raises(OSError, match="no such user, or no such home, as ~$"):
        expanded("~/x")


def test_a_path_of_a_user_who_is_not_there() -> None:
    for path in ("~nosuchuser/x", "~nosuchuser"):
        with pytest.raises(OSError, match="no such user, or no such home, as ~nosuchuser$"):
            expanded(path)
    assert expanded("./~nosuchuser/x") == "./~nosuchuser/x"
    assert expanded("~root/x") == os.path.expanduser("~root/x")
