# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths


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
    assert paths.sandboxes_dir(env) == Path(sandboxes)
    assert paths.cache_dir(env) == Path(cache)


@pytest.mark.parametrize("name", ["a", "default", "run-2", "0", "a" * 40])
def test_good_names(name: str) -> None:
    assert paths.check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a-", "a" * 41, "a\n", "a_b"])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(paths.StateError, match="cannot name a sandbox"):
        paths.layout(name, {"HOME": "/h"})


def test_everything_lies_below_the_root() -> None:
    where = paths.layout("x", {"HOME": "/h"})
    members = [name for name, value in vars(paths.Layout).items() if isinstance(value, property)]
    below = [getattr(where, name) for name in members] + [where.pod("ns", "p", "1")]
    assert len(below) > 10
    assert len(set(below)) == len(below)
    assert all(where.root in path.parents for path in below)


def test_the_record_survives_a_round_trip(tmp_path: Path) -> None:
    where = paths.Layout(tmp_path)
    assert paths.read_sandbox(where) is None
    sandbox = paths.Sandbox("x", 3, "https://127.0.0.1:1", 1.5, {"api": 1}, {"etcd": "/e"}, {"etcd": "3"})
    paths.write_sandbox(where, sandbox)
    assert paths.read_sandbox(where) == sandbox
    assert sandbox.context == "sandbox-x"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "x", "unknown": 1}', "null"])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, content: str) -> None:
    where = paths.Layout(tmp_path)
    where.record.write_text(content)
    assert paths.read_sandbox(where) is None
