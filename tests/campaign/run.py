# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault campaign: real faults in real rollouts on one sandbox; is each verdict, and its reason, right?

usage: run.py [--only NAME]… [--seeds N] [--list] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import judging
from arena import ROOT, Arena, CampaignError
from catalogue import FAULTS, Fault
from course import Course, NoEffect

HEALTHY_SECONDS = 60.0


def run(arena: Arena, fault: Fault, seed: int, folder: Path) -> judging.Row:
    """One fault with one seed."""
    course = Course(arena, fault.name, seed, folder, dict(fault.settings))
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
        detail = judging.problem(fault.expected, verdict)
        outcome = judging.WRONG if detail else judging.OK
    except NoEffect as error:
        outcome, detail = judging.ERROR, f"the fault did not take effect: {error}"
    except CampaignError as error:
        outcome, detail = judging.ERROR, str(error)
    # Whatever else broke in one run is told of that run, and the others go on.
    except Exception as error:
        outcome, detail = judging.ERROR, f"{type(error).__name__}: {error}".splitlines()[0]
        (folder / "error.txt").write_text(traceback.format_exc())
    finally:
        course.kill()
        try:
            fault.mend(course)
        finally:
            arena.set_faults({})
            course.clean_up()
            arena.wait_healthy(HEALTHY_SECONDS)
    expected = ", ".join(sorted(fault.expected.rules))
    expected = f"{fault.expected.verdict} ({expected})" if expected else fault.expected.verdict
    seconds = time.monotonic() - began
    return judging.Row(fault.name, seed, injected, expected, said, outcome, detail, seconds)


def chosen(names: list[str]) -> list[Fault]:
    """The faults of these names, all without any. Exits where there is none of a name."""
    known = {fault.name: fault for fault in FAULTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"There is no fault {unknown[0]}; there are {', '.join(known)}.")
    return [known[name] for name in names] if names else list(FAULTS)


def main() -> int:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; may be repeated"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each fault (3)")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.add_argument("--out", type=Path, default=ROOT / "build/campaign/campaign.json", metavar="FILE")
    options = parser.parse_args()
    # So that the sandbox is removed then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    faults = chosen(options.only)
    if options.list:
        width = max(len(fault.name) for fault in faults)
        for fault in faults:
            print(f"{fault.name:{width}}  {fault.expected.verdict:12}  {fault.summary}")
        return 0
    folder = options.out.absolute().parent
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    arena = Arena(folder / "state", lambda text: print(f"campaign: {text}", flush=True))
    rows: list[judging.Row] = []
    try:
        arena.up()
        for seed in range(1, options.seeds + 1):
            for fault in faults:
                where = runs / f"{fault.name}-{seed}"
                where.mkdir()
                row = run(arena, fault, seed, where)
                rows.append(row)
                print(f"\n{judging.table([row])}", flush=True)
                write(options.out, rows)
    finally:
        arena.down()
    order = [fault.name for fault in faults]
    rows.sort(key=lambda row: (order.index(row.fault), row.seed))
    write(options.out, rows)
    print(f"\n{judging.table(rows)}")
    wrong = sum(row.outcome != judging.OK for row in rows)
    print(f"campaign: {len(rows)} runs of {len(faults)} faults and variations, {wrong} not as they should be")
    return judging.exit_code(rows)


def write(out: Path, rows: list[judging.Row]) -> None:
    """campaign.json: what has been done so far."""
    found = {"schema": 1, "runs": [dataclasses.asdict(row) for row in rows]}
    out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
