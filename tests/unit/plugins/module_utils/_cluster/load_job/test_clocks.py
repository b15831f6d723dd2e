# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers tell of a node's clock always holds its true offset, however long they took."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    Forbidden,
    NotFound,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job import clocks
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.clocks import (
    compare,
    together,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.pods import Pod
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.lines import Log, line
from hypothesis import given
from hypothesis import strategies as st


def pod(name: str, node: str) -> Pod:
    return Pod(name, f"uid-{name}", 0, node, "Running", {}, "")


class Slow:
    """Pods that are shown what they are asked after some seconds, and whose logs come some seconds later."""

    def __init__(self, ahead: dict[str, float], delays: list[tuple[float, float]]) -> None:
        self.now = 1000.0
        self._ahead = ahead
        self._delays = delays
        self._said: dict[str, Log] = {}
        self._rounds = 0
        self.gone = False
        self.direct: tuple[float, float] | None = None
        self.connected = 0

    def wall(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def tell(self, asked: Pod, **told: Any) -> Pod:
        if self.gone:
            raise NotFound("gone")
        shown, heard = self._delays[self._rounds % len(self._delays)]
        self._rounds += 1
        self.now += shown
        said = line("asked", ask=told["ask"], time=self.now + self._ahead[asked.node])
        self._said.setdefault(asked.name, Log()).hear(said.encode())
        self.now += heard
        return Pod(asked.name, asked.uid, 0, asked.node, "Running", told, "")

    def time_of(self, asked: Pod, port: int) -> float:
        if self.direct is None or port != 8000:
            raise Forbidden("the user may not get pods/proxy")
        self.connected += 1
        self.now += self.direct[0]
        told = self.now + self._ahead[asked.node]
        self.now += self.direct[1]
        return told

    def hear(self, asked: Pod, last: int = 0) -> Log:
        return self._said.get(asked.name, Log())


@given(
    ahead=st.floats(-100, 100),
    delays=st.lists(st.tuples(st.floats(0, 90), st.floats(0, 5)), min_size=1, max_size=5),
)
def test_the_true_offset_is_always_within(ahead: float, delays: list[tuple[float, float]]) -> None:
    ((_pod, bounds, longest),) = compare(Slow({"a": ahead}, delays), [pod("p", "a")])  # type: ignore[arg-type]
    assert bounds is not None
    low, high = bounds
    assert low - 1e-6 <= ahead <= high + 1e-6
    assert high - low <= min(shown + heard for shown, heard in delays) + 1e-6 or len(delays) > 5
    assert longest >= max(shown + heard for shown, heard in delays[: clocks.ROUNDS]) - 1e-6


@given(ahead=st.floats(-100, 100), there=st.floats(0, 2), back=st.floats(0, 2))
def test_a_connection_to_the_pod_bounds_it_too(ahead: float, there: float, back: float) -> None:
    slow = Slow({"a": ahead}, [(0.3, 0.1)])
    slow.direct = (there, back)
    asked = Pod("p", "uid-p", 0, "a", "Running", {"start": {"port": 8000}}, "")
    ((_pod, bounds, longest),) = compare(slow, [asked])  # type: ignore[arg-type]
    assert bounds is not None
    assert bounds[0] - 1e-6 <= ahead <= bounds[1] + 1e-6
    assert bounds[1] - bounds[0] <= min(there + back, 0.4) + 1e-6
    # Once more by the annotation, which tells how long that takes.
    assert (slow.connected, longest) == (clocks.PROXY_ROUNDS + 1, pytest.approx(0.4))


def test_pods_of_one_node_have_one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "at_once", lambda call, items: [call(item) for item in items])
    slow = Slow({"a": 1.0, "b": -1.0}, [(0.3, 0.1)])
    pods = [pod("p", "a"), pod("q", "a"), pod("r", "b")]
    first, second, third = (bounds for _pod, bounds, _longest in compare(slow, pods))  # type: ignore[arg-type]
    assert first == second
    assert first is not None
    assert third is not None
    assert third[1] < 0 < first[0]


def test_one_that_does_not_answer_has_no_clock() -> None:
    slow = Slow({"a": 1.0}, [(0.3, 0.1)])
    slow.gone = True
    ((_pod, bounds, _longest),) = compare(slow, [pod("p", "a")])  # type: ignore[arg-type]
    assert bounds is None


def test_a_clock_that_was_set_meanwhile_is_uncertain() -> None:
    assert together([(0.0, 0.2), (0.1, 0.4)]) == (0.1, 0.2)
    assert together([(0.0, 0.2), (3.0, 3.2)]) == (0.0, 3.2)
