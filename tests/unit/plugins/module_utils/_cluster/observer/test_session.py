# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written of an observation, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer import session
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.plan import (
    ObserverPlan,
    ObserverStore,
)

MOST_LOOKS = 100


class Observing:
    """An observer that sees one row at each look until it is to stop; at the third one something happens."""

    def __init__(self, happens: Callable[[], None] = lambda: None) -> None:
        self.looks = 0
        self.see: Callable[[Any], None] = lambda _row: None
        self._happens = happens

    def run(self, _recorder: Any, _deadline: float, stopped: Any, ready: Any, tick: Any) -> None:
        ready()
        while self.looks < MOST_LOOKS and not stopped():
            self.looks += 1
            self.see({"look": self.looks})
            if self.looks == 3:
                self._happens()
            tick({})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObserverStore:
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    found = ObserverStore(str(tmp_path / "state"), "iris")
    found.folder.mkdir(parents=True)
    return found


def observed(store: ObserverStore, dest: Path, eyes: Observing) -> list[Any]:
    """What a session delivers that sees with these."""
    plan = ObserverPlan("iris", "iris", "default", "", "", "", 60.0, dest=str(dest))
    begun = session.Session(plan, store, lambda: eyes.looks >= 5, lambda: None)
    eyes.see = begun._observe
    make: Any = lambda: eyes  # noqa: E731
    begun.run(make)
    begun.close()
    return [json.loads(line)["look"] for line in dest.read_text().splitlines()]


def test_it_ends_when_it_is_told_to(store: ObserverStore, tmp_path: Path) -> None:
    assert observed(store, tmp_path / "seen.jsonl", Observing()) == [1, 2, 3, 4, 5]
    assert json.loads(store.result.read_text())["failed_writes"] == 0


@pytest.mark.parametrize("again", [False, True])
def test_its_folder_was_removed(store: ObserverStore, tmp_path: Path, again: bool) -> None:
    """It ends, delivers what it has seen, and writes nothing into what is there in the folder's place."""

    def removed() -> None:
        store.remove()
        if again:
            store.folder.mkdir(parents=True)

    assert observed(store, tmp_path / "seen.jsonl", Observing(removed)) == [1, 2, 3]
    assert store.folder.exists() == again
    assert not again or list(store.folder.iterdir()) == []
