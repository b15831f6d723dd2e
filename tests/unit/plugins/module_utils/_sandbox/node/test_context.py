# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node import context as context_module


@pytest.mark.parametrize("ticks", range(6))
def test_a_cancellation_is_not_lost_when_the_work_ends_meanwhile(ticks: int) -> None:
    async def scene() -> None:
        done = asyncio.Event()

        async def caller() -> None:
            while True:
                await context_module.within(60.0, done.wait())
                done.clear()

        task = asyncio.ensure_future(caller())
        for _unused in range(5):
            await asyncio.sleep(0)
        done.set()
        for _unused in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        finished, _pending = await asyncio.wait({task}, timeout=1.0)
        assert finished
        assert task.cancelled()

    asyncio.run(scene())


def test_within_gives_up_and_cancels_the_work() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(context_module.within(0.01, work()))
    assert ended == ["work"]
