# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's work queue. Waits are of some milliseconds, on events rather than on time."""

from __future__ import annotations

import asyncio

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.iter8 import operator

KEY = ("default", "e")


def run(scenario, steps, log=lambda line: None):
    """Run `scenario(queue)` with a queue whose steps give `steps` in turn; returns the keys of all steps."""
    seen = []
    left = iter(steps)

    def step(*key):
        seen.append(key)
        outcome = next(left)
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def main():
        queue = operator.Queue(step, log)
        await asyncio.wait_for(scenario(queue), 5)

    asyncio.run(main())
    return seen


async def finished(queue):
    while queue._workers:
        await asyncio.sleep(0.001)


def test_steps_follow_each_other_until_none_is_left():
    async def scenario(queue):
        queue.poke(KEY)
        await finished(queue)

    assert run(scenario, [0.0, 0.001, 0.0, None]) == [KEY] * 4


def test_a_poke_cuts_a_wait_short():
    async def scenario(queue):
        queue.poke(KEY)
        while len(seen) < 1:
            await asyncio.sleep(0.001)
        queue.poke(KEY)
        await finished(queue)

    seen = []
    steps = [lambda: seen.append(1) or 3600.0, None]
    assert len(run(scenario, steps)) == 2


def test_each_experiment_has_its_own_worker():
    other = ("default", "other")

    async def scenario(queue):
        queue.poke(KEY)
        queue.poke(other)
        await finished(queue)
        queue.poke(KEY)
        await finished(queue)

    assert sorted(run(scenario, [None, None, None])) == [KEY, KEY, other]


def test_a_step_that_fails_is_repeated(monkeypatch):
    monkeypatch.setattr(operator, "_FIRST_RETRY_SECONDS", 0.001)
    lines = []

    async def scenario(queue):
        queue.poke(KEY)
        await finished(queue)

    assert len(run(scenario, [ConnectionError("gone"), OSError("again"), None], lines.append)) == 3
    assert lines[0] == "default/e: will try again in 0.0 s: ConnectionError: gone"
