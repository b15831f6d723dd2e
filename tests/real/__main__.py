# SPDX-License-Identifier: GPL-3.0-or-later
"""The real cluster: up, down, test, exec. See docs/real.md.

usage: python -m ansible_collections.iter8.kfserving.tests.real ACTION, which is one of
       up, down, test [PYTEST ARGUMENT]…, exec COMMAND…
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.processes.records import ProcessError
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.cache import BinariesError

from . import cluster
from .node import places
from .node.namespaces import NodeError
from .programs.golang import BuildError

_ROOT = Path(__file__).resolve().parents[2]
_EXPECTED = (BinariesError, BuildError, NodeError, ProcessError, OSError)
_BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line of progress, with the seconds since the start."""
    print(f"real: {time.monotonic() - _BEGAN:5.0f} s  {text}", flush=True)


def up() -> int:
    """Bring it up and say how to use it."""
    cluster.require_machine()
    found = cluster.Cluster(say)
    found.up()
    where = found.where
    say(f"up: kubeconfig {where.kubeconfig}, context {places.CONTEXT}; see docs/real.md for how to use it")
    return 0


def down() -> int:
    """Remove it."""
    was = cluster.Cluster(say).down()
    say("down: it is gone; the built programs stay in the cache" if was else "down: there was none")
    return 0


def execute(command: list[str]) -> int:
    """Run a command with the cluster's network and kubeconfig, and this machine's files."""
    where = cluster.Cluster(say)
    environment = {**os.environ, **cluster.environment(where)}
    return subprocess.run(
        where.there().namespaces.enter_network(command), env=environment, check=False
    ).returncode


def named_cluster() -> bool:
    """Whether the tests use a cluster that is there already. Raises CannotRun for half a name."""
    names = [name for name in cluster.NAMED if os.environ.get(name)]
    if names and len(names) < len(cluster.NAMED):
        lacking = ", ".join(name for name in cluster.NAMED if name not in names)
        raise cluster.CannotRun(
            f"{names[0]} is set and {lacking} not: set all of {', '.join(cluster.NAMED)}."
        )
    return bool(names)


def test(arguments: list[str]) -> int:
    """Bring the cluster up, run the tests on it, and remove it again unless REAL_KEEP=1."""
    pytest = [sys.executable, "-m", "pytest", str(_ROOT / "tests/real"), *arguments]
    environment = dict(os.environ)
    if named_cluster():
        return _said(subprocess.run(pytest, env=environment, cwd=_ROOT, check=False).returncode)
    cluster.require_machine()
    found = cluster.Cluster(say)
    keep = os.environ.get("REAL_KEEP") == "1"
    try:
        node = found.up()
        environment.update(cluster.environment(found))
        inside = node.namespaces.enter_network(pytest)
        code = subprocess.run(inside, env=environment, cwd=_ROOT, check=False).returncode
    finally:
        if keep:
            say("the cluster stays up (REAL_KEEP=1); `make real-down` removes it")
        else:
            down()
    return _said(code)


def _said(code: int) -> int:
    said = {0: "all tests passed", 1: "tests failed", 5: "no test was chosen"}.get(
        code, "the tests broke off"
    )
    say(f"test: {said}")
    return code


def main(arguments: list[str]) -> int:
    """Exit status: that of the tests or the command; 1 for a failure, 2 for a machine that cannot do it."""
    actions = {"up": lambda _rest: up(), "down": lambda _rest: down(), "test": test, "exec": execute}
    if not arguments or arguments[0] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return actions[arguments[0]](arguments[1:])
    except cluster.CannotRun as error:
        print(f"real: {error}", file=sys.stderr)
        return 2
    except _EXPECTED as error:
        print(f"real: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("real: interrupted; `make real-down` removes what is there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
