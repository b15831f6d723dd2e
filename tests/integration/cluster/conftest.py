# SPDX-License-Identifier: GPL-3.0-or-later
"""One stage for the tests of what follows objects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...support.sandbox import Running
from ...support.stage import Stage


@pytest.fixture(scope="session")
def staged(sandbox: Running) -> Iterator[Stage]:
    """A stage with its kinds and its InferenceService; no Experiment yet. One for all who share the sandbox:
    its namespaces take long to go, and until then no others of their names can be made."""
    found = Stage(sandbox)
    found.set_up()
    yield found
    found.tear_down()


@pytest.fixture
def stage(staged: Stage) -> Iterator[Stage]:
    """A stage with an Experiment; afterwards as it was."""
    staged.create_experiment()
    yield staged
    staged.clear()
