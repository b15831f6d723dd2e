# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a load from beginning is told with what can still be looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.begin import begin
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.pods import Pod
from ansible_collections.iter8.kfserving.plugins.module_utils._load.pod.lines import Log


class Waiting:
    """Two pods of a load that nothing is heard of; `clock` goes on by what is slept."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.params: dict[str, Any] = {"ready_timeout": 3}
        self.clock = SimpleNamespace(now=lambda: self.seconds, sleep=self._sleep)
        pods = [None, Pod("load-l-1-x", "uid", 1, "", "Pending", {}, "it has no node")]
        self.talk = SimpleNamespace(
            namespace="load",
            name="load-l",
            generator=lambda index: f"load-l-{index}",
            pods=lambda job: pods,
            hear_all=lambda pods, lines: [Log(), Log()],
        )

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_pods_that_do_not_get_ready_are_each_told_and_nobody_is_sent_to_a_job_that_is_gone() -> None:
    run: Any = Waiting()
    with pytest.raises(ClusterError) as caught:
        begin(run, {})
    said = str(caught.value)
    assert said.startswith(
        "Not all generators are ready within 3 s. load-l-0: it has no pod; load-l-1: it has no node."
    )
    # Whoever starts a load removes it where it cannot begin.
    assert "describe job" not in said
    assert "kubectl -n load get events" in said
