# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox that belongs to one playbook: refused to others while it runs, begun anew once it was killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import parts, present

from ...support.sandbox import Home

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(120)]


@pytest.fixture
def playbook() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a playbook: it lives until the test ends it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_only_the_owner_may_use_it(home: Home, playbook: subprocess.Popen[bytes]) -> None:
    home.up("owned", owner=playbook.pid)
    for owner in (1, None):
        with pytest.raises(parts.SandboxError, match=f"still runs .process {playbook.pid}"):
            home.up("owned", owner=owner)
        with pytest.raises(parts.SandboxError, match="still runs"):
            present.check("owned", home.options(owner=owner), home.env)
    assert home.up("owned", owner=playbook.pid).changed is False


def test_what_a_killed_owner_left_is_begun_anew(home: Home, playbook: subprocess.Popen[bytes]) -> None:
    first = home.up("owned", owner=playbook.pid)
    playbook.kill()
    playbook.wait()

    second = home.up("owned", owner=1)

    assert "removing what an interrupted run left" in home.steps
    assert second.description.created > first.description.created
    assert set(second.started) == {"etcd", "kube-apiserver", "kube-controller-manager", "node"}
