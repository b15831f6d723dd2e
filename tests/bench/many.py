# SPDX-License-Identifier: GPL-3.0-or-later
"""Several generators: do two on two cores send twice as much as one, and what memory do their results take?

usage: many.py [pairs | memory] [--seconds S] [--rounds N] [--requests N] [--out FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.together import ensure_merged
from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.tests.support import loads, rollouts
from programs import Programs, obtain
from servers import nginx
from tools import ENGINE

WANTED_RATIO = 1.8
START_SECONDS = 5  # until when all generators are there, on a busy machine too
CONNECTIONS = 16
REVISIONS = ("my-model-predictor-default-00001", "my-model-predictor-default-00002")


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Sent(NamedTuple):
    """Requests of all pairs: how many a second, and how many for each second of a processor's that generators
    and servers used, which what else runs on the machine does not change."""

    per_second: float
    per_cpu_second: float


def pairs(programs: Programs, seconds: float, rounds: int) -> dict[str, Any]:
    """A generator and its server on each of two cores, one pair and both in turn, as fast as they can."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    rows = []
    with contextlib.ExitStack() as stack:
        urls = []
        for core in cores:
            with on_core(core):
                urls.append(stack.enter_context(nginx(programs)))
        for turn in range(rounds):
            alone = _send(urls[turn % 2 :][:1], cores[turn % 2 :][:1], seconds)
            both = _send(urls, cores, seconds)
            row = {
                "one": round(alone.per_second),
                "two": round(both.per_second),
                "ratio": round(both.per_second / max(alone.per_second, 1), 3),
                "ratio_of_cpu": round(2 * both.per_cpu_second / max(alone.per_cpu_second, 1), 3),
            }
            rows.append(row)
            print(f"  {row}", flush=True)
    ratio, of_cpu = (statistics.median(row[name] for row in rows) for name in ("ratio", "ratio_of_cpu"))
    print(
        f"two pairs send {ratio:.2f} times what one does, {of_cpu:.2f} times with as much of both processors "
        f"(medians; {WANTED_RATIO} is wanted)"
    )
    return {
        "rounds": rows, "ratio": ratio, "ratio_of_cpu": of_cpu, "wanted": WANTED_RATIO,
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def _send(urls: list[str], cores: list[int], seconds: float) -> Sent:
    """What all generators send, each its own part, as on several hosts."""
    begin, running, servers = time.time() + START_SECONDS, [], _cpu_of_children()
    with tempfile.TemporaryDirectory() as name:
        for part, (url, core) in enumerate(zip(urls, cores)):
            options = {
                "url": url + "/", "rate": 0, "connections": CONNECTIONS, "duration": int(seconds * 1e9),
                "start_at": begin, "part": part, "parts": len(urls),
            }  # fmt: skip
            out = Path(name) / f"{part}.json"
            with on_core(core):
                process = subprocess.Popen(
                    [sys.executable, str(ENGINE), "--json", str(out)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                )
            assert process.stdin is not None
            process.stdin.write(json.dumps(options).encode())
            process.stdin.close()
            running.append((process, out))
        cpu, per_second, requests = 0.0, 0.0, 0
        for process, out in running:
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"the generator ended with {process.returncode}")
            cpu += usage.ru_utime + usage.ru_stime
            told = json.loads(out.read_text())
            per_second += told["ActualQPS"]
            requests += told["LoadTest"]["requests"]
    return Sent(per_second, requests / (cpu + _cpu_of_children() - servers))


def _cpu_of_children() -> float:
    """Seconds that the processes which this one has started, and which run, have used."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(requests: int) -> dict[str, Any]:
    """The greatest resident size of a process that merges, judges and reports so many requests' results."""
    rows = []
    for count, parts, hours in (
        (requests // 100, 4, 1),
        (requests, 4, 1),
        (requests, 16, 1),
        (requests, 4, 4),
    ):
        command = [sys.executable, __file__, "--child", str(count), str(parts), str(hours)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(
            f"  {count:>11} requests of {parts:>2} generators over {hours} h: merged and judged in "
            f"{row['seconds']:.1f} s and {row['megabytes']:.0f} MB ({row['megabytes_before']:.0f} before); "
            f"their results are {row['megabytes_of_files']:.1f} MB",
            flush=True,
        )
    return {"rows": rows}


def child(requests: int, parts: int, hours: int) -> None:
    """The results are made by another process; this one does what the modules do with them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [sys.executable, __file__, "--make", str(requests), str(parts), str(hours), name]
        subprocess.run(made, check=True)
        files = [folder / f"{part}.json" for part in range(parts)]
        before, began = _peak(), time.monotonic()
        told = ensure_merged(
            {
                "generators": [
                    {"name": f"host-{part}", "path": str(file), "clock_offsets": [{"low": 0.0, "high": 0.01}]}
                    for part, file in enumerate(files)
                ],
                "dest": str(folder / "load.json"),
            },
            check_mode=False,
        )
        assert told["requests"] == requests, told["requests"]
        (folder / "timeline.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rollouts.timeline()))
        evidence = {"load": str(folder / "load.json"), "timeline": str(folder / "timeline.jsonl")}
        verdict = judge({**evidence, "dest": str(folder / "verdict.json")})["verdict"]
        assert verdict["requests"] == requests
        publish({**evidence, "verdict": str(folder / "verdict.json"), "dest": name})
        print(
            json.dumps(
                {
                    "requests": requests, "parts": parts, "hours": hours,
                    "seconds": round(time.monotonic() - began, 1),
                    "megabytes": _peak(), "megabytes_before": before,
                    "megabytes_of_files": sum(file.stat().st_size for file in files) / 1e6,
                }
            )
        )  # fmt: skip


def make(requests: int, parts: int, hours: int, folder: str) -> None:
    """One file for each generator, with a failure in each ten thousandth request."""
    for part in range(parts):
        made = loads.many(requests, part, parts, hours * 3600, REVISIONS)
        (Path(folder) / f"{part}.json").write_text(json.dumps(made))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(*(int(word) for word in sys.argv[2:5]))
        return 0
    if sys.argv[1:2] == ["--make"]:
        make(*(int(word) for word in sys.argv[2:5]), folder=sys.argv[5])
        return 0
    parser = argparse.ArgumentParser(description="Several generators: their speed together, and memory.")
    parser.add_argument("only", nargs="?", choices=["pairs", "memory"])
    parser.add_argument("--seconds", type=float, default=4, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000_000, help="that the merged results tell of")
    parser.add_argument("--out", default="build/bench/many.json")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    if given.only in (None, "pairs"):
        found["pairs"] = pairs(obtain(), given.seconds, given.rounds)
    if given.only in (None, "memory"):
        found["memory"] = memory(given.requests)
    out = Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
