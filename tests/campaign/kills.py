# SPDX-License-Identifier: GPL-3.0-or-later
"""A series of kills: `kill -9` of any process of a run at a moment of the seed's, then teardown.

usage: kills.py [--kills N] [--seed N] [--only VICTIM]… [--out FILE]

One sandbox is up for the whole series. Each run deploys the default model and rolls out the canary by the
collection's own playbooks; one of its processes is killed; where that was the playbook's own, teardown
follows at once, else once the playbook has ended. Then nothing of the run may be left, nothing of anybody
else touched, the evidence must reach up to a second before the kill, and a pass must be one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import remains
import victims
from ansible_collections.iter8.kfserving.plugins.module_utils._common import processes
from ansible_collections.iter8.kfserving.tests.support.waiting import NotInTime
from arena import ROOT, Arena, CampaignError, until
from course import SAMPLES
from run import positive
from struck import Struck

APPEAR_SECONDS = 300.0
GONE_SECONDS = 30.0
ERROR = "ERROR"


@dataclasses.dataclass(frozen=True)
class Row:
    """One kill in the table. `problems` is empty where all is as it should be."""

    number: int
    victim: str
    delay: float
    struck: str
    verdict: str
    problems: list[str]
    seconds: float

    def __str__(self) -> str:
        head = f"{self.number:3} {self.victim:18} {self.struck:60} {self.verdict:12} {self.seconds:4.0f} s"
        return "\n".join(
            [f"{head}  {'WRONG' if self.problems else 'ok'}", *(f"      {p}" for p in self.problems)]
        )


class Series:
    """The kills on one sandbox. ``folder`` takes what the runs leave."""

    def __init__(self, arena: Arena, folder: Path) -> None:
        self._arena = arena
        self._folder = folder
        self._bystanders = remains.Bystanders(arena, folder)

    def work(self, kills: Sequence[victims.Kill]) -> list[Row]:
        """Do them all."""
        rows = []
        try:
            remains.clear(self._arena)
            self._arena.up()
            self._bystanders.create(SAMPLES / "default.yaml")
            for kill in kills:
                rows.append(self._run(kill))
                print(rows[-1], flush=True)
        finally:
            self._bystanders.remove()
            self._arena.down()
        return rows

    def _run(self, kill: victims.Kill) -> Row:
        began = time.monotonic()
        name = f"kill-{kill.victim.name}-{kill.number:02}"
        folder = self._folder / "runs" / name
        folder.mkdir(parents=True)
        course = Struck(self._arena, name, folder)
        struck, verdict, problems = "", "", []
        self._settle()
        self._bystanders.remember()
        try:
            course.start()
            killed, struck = strike(course, kill)
            verdict, problems = self._after(course, kill, killed)
        except (CampaignError, NotInTime) as error:
            problems = [f"{ERROR}: {error}"]
        # Whatever else broke in one run is told of that run, and the others go on.
        except Exception as error:
            problems = [f"{ERROR}: {type(error).__name__}: {error}".splitlines()[0]]
            (folder / "error.txt").write_text(traceback.format_exc())
        finally:
            course.kill()
            course.clean_up()
            remains.end_marked(name)
        seconds = time.monotonic() - began
        return Row(kill.number, kill.victim.name, round(kill.delay, 2), struck, verdict, problems, seconds)

    def _settle(self) -> None:
        """The sandbox is whole, and the bystander's model serves."""
        self._arena.mend_control_plane()
        self._arena.wait_healthy()

        def ready() -> bool:
            conditions = self._arena.service("bystander").get("status", {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        until(ready, 60, "the bystander's model serves")

    def _after(self, course: Struck, kill: victims.Kill, killed: float) -> tuple[str, list[str]]:
        """What became of the run, and what is wrong with it."""
        playbook = kill.victim.name == "playbook"
        loads, observers = (victims.job_of(kind)(course) for kind in ("loads", "observers"))
        had_load = bool(loads) or kill.victim.name == "load"
        had_observer = bool(observers) or kill.victim.name == "observer"
        if kill.victim.sandbox:
            time.sleep(kill.random.uniform(0, 2))
            self._arena.mend_control_plane()
        if playbook:
            time.sleep(kill.random.uniform(0, 2))
        else:
            course.finish()
        if kill.victim.sandbox:
            self._settle()
        status = course.teardown()
        problems = [] if status == 0 else [f"teardown ended with {status}; see {course.folder}/playbook.log"]
        problems += self._left(course)
        problems += self._bystanders.problems(settled=not kill.victim.sandbox)
        artifacts = course.artifacts
        load = remains.read(artifacts / "load.json")
        observations = remains.rows(artifacts / "observations.jsonl")
        timeline = remains.rows(artifacts / "timeline.jsonl") or []
        verdict = remains.read(artifacts / "verdict.json")
        if had_load:
            problems.append(remains.short("load", remains.load_reach(load), killed))
        if had_observer:
            reach = remains.observer_reach(observations, timeline)
            problems.append(remains.short("observer", reach, killed))
        stopped = playbook or any(row["event"] == "stopped" and "task" in row["data"] for row in timeline)
        problems.append(remains.false_pass(verdict, load, observations, timeline, completed=not stopped))
        said = verdict["verdict"] if verdict else "none"
        return said, [problem for problem in problems if problem]

    def _left(self, course: Struck) -> list[str]:
        """What is there of the run a while after its teardown."""
        with contextlib.suppress(NotInTime):
            until(lambda: not remains.marked(course.name), 10, "the run's processes end")
        found = [f"left running: {command[:150]}" for command in remains.marked(course.name)]
        found += [f"left: {path}" for path in remains.files_left(course)]
        with contextlib.suppress(NotInTime):
            until(
                lambda: not self._arena.named(course.name),
                GONE_SECONDS,
                "the run's objects go",
            )
        return found + [f"left: {one}" for one in self._arena.named(course.name)]


def strike(course: Struck, kill: victims.Kill) -> tuple[float, str]:
    """Kill at the kill's moment; when that was (epoch seconds), and whom it struck, amid which task.

    :raises CampaignError: the run had ended by then.
    """
    deadline = time.monotonic() + APPEAR_SECONDS
    strike_at = None
    while True:
        if not course.pid:
            raise CampaignError(f"The run ended before its {kill.victim.name} was struck.")
        if time.monotonic() > deadline:
            raise CampaignError(f"There was no {kill.victim.name} to be struck.")
        found = kill.victim.find(course) if course.has_begun() else []
        if found and strike_at is None:
            strike_at = time.monotonic() + kill.delay
        if found and strike_at is not None and time.monotonic() >= strike_at:
            task, record = course.task(), kill.random.choice(found)
            killed = time.time()
            if processes.send(record, signal.SIGKILL):
                until(lambda: not processes.alive(record), 10, "the killed process is gone")  # noqa: B023
                after = killed - course.began
                return killed, f"after {after:.1f} s, at '{task}'"
        time.sleep(0.02)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", default=30, type=positive, metavar="N", help="how many (30)")
    parser.add_argument("--seed", default=1, type=int, metavar="N", help="of the moments (1)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="VICTIM", help="this one; may be repeated"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build/kills/kills.json", metavar="FILE")
    return parser


def main() -> int:
    """Run the series and print its table."""
    options = arguments().parse_args()
    known = {victim.name: victim for victim in victims.VICTIMS}
    unknown = [name for name in options.only if name not in known]
    if unknown:
        sys.exit(f"There is no process {unknown[0]}; there are {', '.join(known)}.")
    chosen = tuple(known[name] for name in options.only) or victims.VICTIMS
    # So that the sandbox is removed then, too.
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))
    folder = options.out.absolute().parent
    shutil.rmtree(folder / "runs", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    arena = Arena(folder / "state", lambda text: print(f"kills: {text}", flush=True))
    rows = Series(arena, folder).work(victims.plan(options.seed, options.kills, chosen))
    found = {"schema": 1, "seed": options.seed, "kills": [dataclasses.asdict(row) for row in rows]}
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    wrong = sum(bool(row.problems) for row in rows)
    minutes = (time.monotonic() - began) / 60
    print(
        f"kills: {len(rows)} kills with seed {options.seed} in {minutes:.0f} min, "
        f"{wrong} not as they should be"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
