# SPDX-License-Identifier: GPL-3.0-or-later
"""The runbooks' commands that need a real cluster: the tests on a sandbox leave these out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.iter8.kfserving.tests.support import runbooks
from ansible_collections.iter8.kfserving.tests.support.waiting import until
from kubernetes import client

from .node.node import Node
from .stage import Real

BLOCKS = [block for page in runbooks.pages() for block in runbooks.blocks(page.stem) if block.reason]
HANDLERS = "iter8-system"
SAID = "the handler said why"


@pytest.fixture
def job(real: Real, python_image: str) -> Iterator[str]:
    """A Job where iter8 has its handlers', which has said something and ended."""
    core, batch = client.CoreV1Api(real.api), client.BatchV1Api(real.api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=HANDLERS)))
    try:
        container = {
            "name": "finish",
            "image": python_image,
            "command": ["python3", "-c", f"print({SAID!r})"],
        }
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        made = {"metadata": {"name": "finish-handler-e-1"}, "spec": {"backoffLimit": 0, "template": template}}
        batch.create_namespaced_job(HANDLERS, made)

        def done() -> bool:
            status = batch.read_namespaced_job("finish-handler-e-1", HANDLERS).status
            assert not status.failed
            return bool(status.succeeded)

        until(done, 120, "a Job that has ended")
        yield "finish-handler-e-1"
    finally:
        core.delete_namespace(HANDLERS)


def test_they_are_run_here() -> None:
    assert [(block.page, block.text.count("\n")) for block in BLOCKS] == [("experiment-failed", 0)]


def test_what_a_handler_said(job: str, node: Node) -> None:
    setup = runbooks.blocks(runbooks.INDEX)[0].text
    environment = {
        **os.environ,
        "PATH": f"{node.program('kubectl').parent}:{os.environ['PATH']}",
        "KUBECONFIG": os.environ["REAL_KUBECONFIG"],
        "CONTEXT": os.environ["REAL_CONTEXT"],
        "JOB": job,
    }
    script = f"{setup}\n{BLOCKS[0].text}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SAID in done.stdout
