# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths as state


@pytest.mark.parametrize(
    ("env", "sandboxes", "cache"),
    [
        ({"HOME": "/h"}, "/h/.local/state/iter8-kfserving/sandboxes", "/h/.cache/iter8-kfserving"),
        (
            {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"},
            "/s/iter8-kfserving/sandboxes",
            "/c/iter8-kfserving",
        ),
        (
            {"HOME": "/h", "XDG_STATE_HOME": "relative", "XDG_CACHE_HOME": ""},
            "/h/.local/state/iter8-kfserving/sandboxes",
            "/h/.cache/iter8-kfserving",
        ),
    ],
)
def test_folders_follow_xdg(env: dict[str, str], sandboxes: str, cache: str) -> None:
    assert state.sandboxes_dir(env) == Path(sandboxes)
    assert state.cache_dir(env) == Path(cache)


@pytest.mark.parametrize("name", ["a", "default", "run-2", "0", "a" * 40])
def test_good_names(name: str) -> None:
    assert state.check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a-", "a" * 41, "a\n", "a_b"])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(state.StateError, match="cannot name a sandbox"):
        state.layout(name, {"HOME": "/h"})


def test_everything_lies_below_the_root() -> None:
    where = state.layout("x", {"HOME": "/h"})
    members = [name for name, value in vars(state.Layout).items() if isinstance(value, property)]
    paths = [getattr(where, name) for name in members] + [where.pod("ns", "p", "1")]
    assert len(paths) > 10
    assert len(set(paths)) == len(paths)
    assert all(where.root in path.parents for path in paths)


def test_the_record_survives_a_round_trip(tmp_path: Path) -> None:
    where = state.Layout(tmp_path)
    assert state.read_sandbox(where) is None
    sandbox = state.Sandbox("x", 3, "https://127.0.0.1:1", 1.5, {"api": 1}, {"etcd": "/e"}, {"etcd": "3"})
    state.write_sandbox(where, sandbox)
    assert state.read_sandbox(where) == sandbox
    assert sandbox.context == "sandbox-x"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "x", "unknown": 1}', "null"])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, content: str) -> None:
    where = state.Layout(tmp_path)
    where.record.write_text(content)
    assert state.read_sandbox(where) is None


def test_write_atomically_keeps_the_old_content_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    state.write_atomically(path, "old", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        state.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
