# SPDX-License-Identifier: GPL-3.0-or-later
"""The detached process of an observer: lets go of its caller, and observes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable

from ..client.errors import ClusterError
from .plan import Make, ObserverPlan, ObserverStore
from .session import Session


class Outside:
    """What is left of the world outside in the detached process."""

    def __init__(self, writing: int) -> None:
        self._writing = writing
        self._stopped = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _stop(self, *_: Any) -> None:
        self._stopped = True

    def stopped(self) -> bool:
        """Whether somebody asked this process to end."""
        return self._stopped

    def say(self, message: str) -> None:
        """Tell the caller, once, how it began."""
        if self._writing >= 0:
            os.write(self._writing, f"{printable(message)}\n".encode())
            os.close(self._writing)
            self._writing = -1


Work = Callable[[Outside], None]


def forked(store: ObserverStore, work: Work) -> None:
    """Do the work in a process of its own. Returns once it has said `ready`; raises ClusterError with
    whatever else it said."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        # Nothing of the caller's may run in the child: no handler at exit, no exception that gets out.
        os.close(reading)
        _detached(store, work, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, encoding="utf-8") as pipe:
        message = pipe.readline()
    if message != "ready\n":
        raise ClusterError(message.strip() or f"The observer ended before it observed; see {store.log}.")


def observing(plan: ObserverPlan, make: Make, store: ObserverStore) -> Work:
    """The work of an observer that has its process for itself."""
    return lambda outside: Session(plan, store, outside.stopped, lambda: outside.say("ready")).run(make)


def _detached(store: ObserverStore, work: Work, writing: int) -> NoReturn:
    """Run in the forked child, never to return."""
    status = 1
    try:
        if os.fork():
            os._exit(0)  # the caller need not wait for what outlives it
        os.setsid()
        os.chdir("/")
        log = os.open(store.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        null = os.open(os.devnull, os.O_RDWR)
        for handle, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(handle, target)
        _close_all_but(writing)
        outside = Outside(writing)
        try:
            work(outside)
            status = 0
        except ClusterError as error:
            outside.say(str(error))
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(status)


def _close_all_but(kept: int) -> None:
    """Let go of what the caller had open: a pipe that somebody waits for the end of, above all."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
