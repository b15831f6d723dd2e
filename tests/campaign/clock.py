# SPDX-License-Identifier: GPL-3.0-or-later
"""A step of the clock that the run's own processes see: playbook, waits, load generator.

The machine's clock is everybody's, so it stays as it is. A small library (clock.c, compiled by Debian's tcc,
which is unpacked and not installed) stands between those processes and the wall clock; the monotonic clock,
which no step moves, goes on. The cluster, gateway and iter8 included, keeps the right time, as it does when
the clock that is set is that of the machine which runs the playbook.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.cache import BinariesError
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs.debian.apt import Apt
from arena import ROOT, CampaignError
from course import Course, NoEffect

_SOURCE = Path(__file__).with_suffix(".c")
_TOOLS = ROOT / "build/campaign-tools"


def _library() -> Path:
    """The library, newer than its source."""
    made = _TOOLS / "clock.so"
    if made.exists() and made.stat().st_mtime > _SOURCE.stat().st_mtime:
        return made
    compiler = _TOOLS / "root/usr/bin/tcc"
    if not compiler.exists():
        try:
            apt = Apt(_TOOLS / "apt")
            apt.update()
            apt.unpack(["tcc"], _TOOLS / "root")
        except BinariesError as error:
            raise CampaignError(f"tcc, which compiles clock.c: {error}") from None
    own = next(_TOOLS.glob("root/usr/lib/*/tcc"))
    subprocess.run(
        [compiler, f"-B{own}", "-nostdlib", "-shared", "-o", made, _SOURCE], check=True, capture_output=True
    )
    return made


def prepare(course: Course) -> None:
    """Let the run's processes take their time from the library."""
    setting = course.folder / "clock"
    setting.write_bytes(struct.pack("q", 0))
    course.environment |= {"LD_PRELOAD": str(_library()), "CAMPAIGN_CLOCK": str(setting)}


def step(course: Course) -> None:
    """Step by 15 to 60 seconds, forward or back as the seed has it."""
    seconds = course.random.choice((-1, 1)) * course.random.randint(15, 60)
    # In place: the processes have the file in their memory.
    with open(course.folder / "clock", "r+b") as setting:
        setting.write(struct.pack("q", seconds))
    told = _told(course)
    if abs(told - time.time() - seconds) > 2:
        raise NoEffect(f"a process of the run is told {told - time.time():+.0f} s, not {seconds:+d} s")
    course.notes["step"] = seconds
    course.notes["done"] = (
        f"the clock of the run's processes was stepped by {seconds:+d} s (as a new one of them is told)"
    )


def _told(course: Course) -> float:
    """What time a process in the run's environment is told it is."""
    command = [sys.executable, "-c", "import time; print(time.time())"]
    environment = {**os.environ, **course.environment}
    return float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


def stepped(course: Course) -> str:
    """The timeline's times make the step, too: the kernel dates its last line by the machine's own clock."""
    times = [moment["time"] for moment in course.timeline()]
    written = (course.artifacts / "timeline.jsonl").stat().st_mtime if times else 0.0
    step = course.notes["step"]
    if not times or abs(times[-1] - written - step) > abs(times[-1] - written):
        raise NoEffect("the timeline goes on in the right time")
    return f"{course.notes['done']}; the timeline ends by that clock"
