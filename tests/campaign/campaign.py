# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the plan: each run a fresh rollout, on as many sandboxes side by side as were asked for."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import judging
from ansible_collections.iter8.kfserving.tests.support import artefacts
from ansible_collections.iter8.kfserving.tests.support.waiting import NotInTime
from arena import Arena, CampaignError
from course import Course, NoEffect
from fault import Fault

HEALTHY_SECONDS = 60.0
_SAY = threading.Lock()


def say(text: str) -> None:
    """One piece of text at a time."""
    with _SAY:
        print(text, flush=True)


class Campaign:
    """A plan, and what has become of it so far. ``folder`` takes what the runs leave."""

    def __init__(self, faults: Sequence[Fault], seeds: Sequence[int], folder: Path, out: Path) -> None:
        plan = [(seed, fault) for seed in seeds for fault in faults]
        self.rows: list[judging.Row] = []
        self._order = {fault.name: number for number, fault in enumerate(faults)}
        self._total = len(plan)
        self._left = deque(enumerate(plan, 1))
        self._folder = folder
        self._out = out
        self._lock = threading.Lock()
        self._courses: set[Course] = set()
        self._stopping = False

    def work(self, sandboxes: int) -> None:
        """Do the plan. Raises what kept a sandbox from coming up; whatever happens, all are removed."""
        # The pool waits without `join`: when a signal's handler raises in that, Python takes the thread for
        # ended (bpo-45274), and nobody waits for it any more.
        with ThreadPoolExecutor(sandboxes) as pool:
            try:
                for worker in [pool.submit(self._worker, n) for n in range(1, sandboxes + 1)]:
                    worker.result()
            except BaseException:
                self._stop()
                raise

    def _stop(self) -> None:
        """Start no more runs, and end those that are under way."""
        with self._lock:
            self._stopping = True
            for course in self._courses:
                course.kill()

    def _worker(self, number: int) -> None:
        arena = Arena(self._folder / f"state-{number}", lambda text: say(f"campaign: {text}"))
        try:
            arena.up()
            while (item := self._next()) is not None:
                self._run(arena, *item)
        except BaseException:
            self._stop()
            raise
        finally:
            arena.down()

    def _next(self) -> tuple[int, int, Fault] | None:
        with self._lock:
            if self._stopping or not self._left:
                return None
            number, (seed, fault) = self._left.popleft()
            return number, seed, fault

    def _run(self, arena: Arena, number: int, seed: int, fault: Fault) -> None:
        where = self._folder / "runs" / f"{fault.name}-{seed}"
        where.mkdir(parents=True)
        title = f"campaign: run {number} of {self._total}: {fault.name}, seed {seed}"
        say(title)
        course = Course(arena, fault.name, seed, where, dict(fault.settings))
        with self._lock:
            self._courses.add(course)
        try:
            row = run(course, fault)
        finally:
            with self._lock:
                self._courses.discard(course)
        with self._lock:
            if self._stopping:
                return
            self.rows.append(row)
            self.rows.sort(key=lambda row: (self._order[row.fault], row.seed))
            found = {"schema": 1, "runs": [dataclasses.asdict(row) for row in self.rows]}
            self._out.write_text(json.dumps(found, indent=2) + "\n")
        say(f"{title}: done\n{judging.table([row])}\n")


def run(course: Course, fault: Fault) -> judging.Row:
    """One fault with one seed."""
    began = time.monotonic()
    injected, said, detail = "", "", ""
    try:
        fault.prepare(course)
        course.start()
        fault.strike(course)
        course.finish()
        injected = fault.took_effect(course)
        verdict = course.verdict()
        said = f"{verdict['verdict']} ({judging.reasons_of(verdict)})"
        broken = artefacts.problems(course.artifacts)
        detail = judging.problem(fault.expected, verdict) or "; ".join(broken)
        outcome = judging.WRONG if detail else judging.OK
    except NoEffect as error:
        outcome, detail = judging.ERROR, f"the fault did not take effect: {error}"
    except (CampaignError, NotInTime) as error:
        outcome, detail = judging.ERROR, str(error)
    # Whatever else broke in one run is told of that run, and the others go on.
    except Exception as error:
        outcome, detail = judging.ERROR, f"{type(error).__name__}: {error}".splitlines()[0]
        (course.folder / "error.txt").write_text(traceback.format_exc())
    finally:
        course.kill()
        try:
            fault.mend(course)
        finally:
            course.arena.set_faults({})
            course.clean_up()
            course.arena.wait_healthy(HEALTHY_SECONDS)
    seconds = time.monotonic() - began
    return judging.Row(fault.name, course.seed, injected, str(fault.expected), said, outcome, detail, seconds)
