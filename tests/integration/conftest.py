# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandboxes that integration tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths

from ..support.sandbox import Home, Running


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A state folder for sandboxes of one test; whatever the test did, nothing is left of them."""
    folder = tmp_path / "state"
    folder.mkdir()
    found = Home(folder)
    yield found
    sandboxes = paths.sandboxes_dir(found.env)
    descriptions = []
    for record in [*sandboxes.glob("[!.]*")]:
        descriptions.append(paths.read_sandbox(paths.Layout(record)))
        found.down(record.name)
    for description in descriptions or [None]:
        found.assert_nothing_left(description)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox for the whole run, to be shared by tests that do not break it."""
    with Home(tmp_path_factory.mktemp("state")).running(f"test-{os.getpid()}") as running:
        yield running
