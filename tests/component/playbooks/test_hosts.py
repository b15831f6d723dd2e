# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that send load run it with a Python of their own, though the playbooks name this host's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ...support.playbooks import Playbooks

pytestmark = pytest.mark.timeout(240)


def teardown(folder: Path, python: str) -> tuple[str, int]:
    """What a teardown says, and its exit status, with this Python as a setting."""
    given = {
        "iter8_kfserving_kubeconfig": "/none/kubeconfig",
        "iter8_kfserving_context": "none",
        "iter8_kfserving_load_hosts": ["far"],
        "teardown_record": str(folder / "run.json"),
    }
    arguments = ["-v", "-i", str(folder / "hosts"), "--tags", "teardown", "-e", json.dumps(given)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_PYTHON_INTERPRETER", python)
        done = Playbooks(folder).run("e2e", *arguments, timeout=200)
    return done.stdout, done.returncode


@pytest.mark.parametrize("told", [True, False], ids=["by the inventory", "by a setting"])
def test_each_host_has_its_own_python(tmp_path: Path, told: bool) -> None:
    """One that writes down that it was run."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch {tmp_path}/used\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    own = f" ansible_python_interpreter={python}" if told else ""
    (tmp_path / "hosts").write_text(f"far ansible_connection=local{own}\n")
    said, _status = teardown(tmp_path, "auto_silent" if told else str(python))
    assert "End each host's part of the load" in said
    assert (tmp_path / "used").exists(), said


def test_a_host_whose_load_cannot_be_ended_keeps_nobody_from_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("far ansible_connection=local ansible_python_interpreter=/none/python\n")
    said, status = teardown(tmp_path, "auto_silent")
    assert "TASK [iter8.kfserving.teardown : Delete the run's objects" in said
    assert status != 0, said
