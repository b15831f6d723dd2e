# SPDX-License-Identifier: GPL-3.0-or-later
"""A shell as somebody on call has it, in which the runbooks' commands are given."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.tests.support import runbooks
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.playbooks import ended, started

# For a page: a whole rollout among them.
MOST_SECONDS = 400


@dataclass
class Shell:
    """Runs the blocks of a page in their order; what they export holds for the page's later ones."""

    variables: dict[str, str] = field(default_factory=dict)
    ran: set[runbooks.Block] = field(default_factory=set)

    def page(self, name: str, blocks: slice = slice(None), expect: int = 0) -> str:
        """What the blocks printed, those left out that need a real cluster."""
        chosen = [block for block in runbooks.blocks(name)[blocks] if not block.reason]
        assert chosen, name
        setup = runbooks.blocks(runbooks.INDEX)[0].text
        script = "\n".join([setup, *(block.text for block in chosen)])
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **self.variables,
        }
        process = started(["bash", "-eu", "-o", "pipefail", "-c", script], environment)
        output = ended(process, name, MOST_SECONDS)
        assert process.returncode == expect, f"{name} ended with {process.returncode}:\n{output}"
        self.ran.update(chosen)
        return output


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips where a program is missing that a page calls besides Ansible's."""

    def check(*programs: str) -> None:
        missing = [name for name in programs if shutil.which(name) is None]
        if missing:
            pytest.skip(f"{' and '.join(missing)} not on this machine, which these pages call")

    return check
