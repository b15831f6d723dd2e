# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.serving import operator


class Passes:
    """Counts passes, and lets a test wait for one."""

    def __init__(self, run: Callable[[int], float]) -> None:
        self.count = 0
        self._run = run
        self._done = threading.Condition()

    def __call__(self) -> float:
        with self._done:
            self.count += 1
            self._done.notify_all()
        return self._run(self.count)

    def reach(self, count: int) -> None:
        with self._done:
            assert self._done.wait_for(lambda: self.count >= count, timeout=5), self.count


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "COALESCE_SECONDS", 0.0)
    monkeypatch.setattr(operator, "RETRY_SECONDS", 0.001)


def test_wakes_and_stops() -> None:
    passes = Passes(lambda _unused: 3600.0)
    loop = operator.PassLoop(passes)
    loop.start()
    passes.reach(1)
    loop.wake()
    passes.reach(2)
    assert loop.alive
    loop.stop()
    assert not loop.alive
    assert passes.count == 2


def test_next_pass_comes_when_the_last_one_said_so() -> None:
    passes = Passes(lambda count: 0.001 if count < 5 else 3600.0)
    loop = operator.PassLoop(passes)
    loop.start()
    passes.reach(5)
    loop.stop()


def test_failed_pass_is_logged_in_one_line_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    def run(count: int) -> float:
        if count < 3:
            raise RuntimeError("first line\nsecond line")
        return 3600.0

    passes = Passes(run)
    loop = operator.PassLoop(passes)
    loop.start()
    passes.reach(3)
    loop.stop()
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert all(text.endswith("RuntimeError: first line") for text in texts)


def test_event_during_a_pass_is_not_lost() -> None:
    loop: operator.PassLoop

    def run(count: int) -> float:
        if count == 1:
            loop.wake()
        return 3600.0

    passes = Passes(run)
    loop = operator.PassLoop(passes)
    loop.start()
    passes.reach(2)
    loop.stop()


@pytest.mark.parametrize("name", operator.WATCHED)
def test_each_stack_is_woken_by_all_that_it_reads(name: str) -> None:
    watched = operator.WATCHED[name]
    registry = operator.make_registry(operator.PassLoop(lambda: 3600.0), watched)
    found = [each.selector for each in registry._watching.get_all_handlers()]
    kinds = {(each.group, each.version, each.any_name or each.plural) for each in found if each}
    assert {(kind.group, kind.version, kind.plural) for kind in (watched.services, *watched.kinds)} <= kinds
