# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an observer may write is settled before it runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer import ensure as module


@pytest.mark.parametrize("option", ["timeline", "dest"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("{open}/file.jsonl", "everybody can write to the folder {open} "),
        ("~nosuchuser/file.jsonl", "there is no such user, or no such home, as ~nosuchuser"),
    ],
)
def test_a_place_that_cannot_be_meant_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, path: str, why: str
) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    asked: list[Any] = []
    monkeypatch.setattr(module.job, "state", lambda *arguments: asked.append(arguments))
    params = {"name": "o", "state_dir": str(tmp_path), "state": "started", "timeline": None, "dest": None}
    named = path.format(open=place)
    with pytest.raises(ClusterError) as caught:
        module.ensure_state(SimpleNamespace(params={**params, option: named}, check_mode=False), 60.0)
    assert str(caught.value).startswith(f"{option}: {named} cannot be written: {why.format(open=place)}")
    assert asked == []
