# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox runs code from its folders, so these are the user's alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes import exclusive


def take(where: paths.Layout) -> None:
    with exclusive.locked(where, lambda: None, lambda _seconds: None):
        where.root.mkdir(exist_ok=True)


def test_a_first_sandbox_gets_a_folder_of_the_users_own(tmp_path: Path) -> None:
    where = paths.layout("a", {"XDG_STATE_HOME": str(tmp_path)})
    take(where)
    assert where.root.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("open_one", ["root", "its parent"])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, open_one: str) -> None:
    where = paths.layout("a", {"XDG_STATE_HOME": str(tmp_path)})
    take(where)
    place = where.root if open_one == "root" else where.root.parent
    place.chmod(0o777)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PermissionError, match=f"everybody can write to the folder {place} "):
        take(where)
    assert sorted(tmp_path.rglob("*")) == before
