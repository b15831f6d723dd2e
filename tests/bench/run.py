# SPDX-License-Identifier: GPL-3.0-or-later
"""The load engine beside wrk, hey and, where it is on PATH, Fortio: alternating, on this machine, in one run.

usage: run.py [--seconds S] [--rounds N] [--calls N] [--only throughput|pacing|memory] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from programs import Programs, obtain
from servers import nginx, stamping
from tools import Case, Figures, available, ours

POST = b"x" * 16384
RATES = (100, 1000, 10_000)
PACED_CONNECTIONS = 4
MEMORY_LIMIT = 60  # MB
_SHOWN = ("per_second", "cpu", "p50", "p99")


def throughput(programs: Programs, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """All tools in turn, in another order each round, so that what else the machine does hits all."""
    tools = available(programs)
    found = []
    with nginx(programs) as url:
        for connections in (4, 64):
            for name, path, payload in (("GET", "/", None), ("POST 16 kB", "/post", POST)):
                case = Case(url + path, connections, seconds, payload)
                runs: dict[str, list[Figures]] = {tool: [] for tool in tools}
                for turn in range(rounds):
                    order = list(tools)
                    for tool in order[turn % len(order) :] + order[: turn % len(order)]:
                        runs[tool].append(tools[tool](case, programs))
                found.append(_compare(f"{name}, {connections} connections", runs))
    return found


def _compare(what: str, runs: dict[str, list[Figures]]) -> dict[str, Any]:
    """The medians of each tool, and the median over the rounds of ours to theirs."""
    row: dict[str, Any] = {"what": what, "tools": {}, "ratios": {}}
    for tool, figures in runs.items():
        row["tools"][tool] = {
            name: round(statistics.median(getattr(one, name) for one in figures), 1) for name in _SHOWN
        }
        row["tools"][tool]["failed"] = sum(one.failed for one in figures)
        if tool != "ours":
            pairs = zip(runs["ours"], figures)
            row["ratios"][tool] = round(statistics.median(a.per_second / b.per_second for a, b in pairs), 3)
    print(f"\n{what}")
    print(f"  {'':8}{'req/s':>10}{'CPU us':>10}{'p50 us':>10}{'p99 us':>10}{'failed':>8}   ours is")
    for tool, told in row["tools"].items():
        ratio = f"{row['ratios'][tool]:.2f} times" if tool in row["ratios"] else ""
        numbers = "".join(
            f"{told[name]:>10.0f}" if name != "cpu" else f"{told[name]:>10.1f}" for name in _SHOWN
        )
        print(f"  {tool:8}{numbers}{told['failed']:>8}   {ratio}", flush=True)
    return row


def pacing(programs: Programs, seconds: float) -> list[dict[str, Any]]:
    """Gaps between arrivals, as the server sees them, and how far they are off an even schedule."""
    found = []
    tools = {name: tool for name, tool in available(programs).items() if name != "wrk"}
    print(
        f"\n{'pacing':17}"
        + "".join(f"{head:>10}" for head in ("gap p50", "p99", "max", "off p50", "p99", "rate"))
    )
    with tempfile.TemporaryDirectory() as name, stamping(Path(name)) as url:
        for rate in RATES:
            row: dict[str, Any] = {"rate": rate, "tools": {}}
            for tool, run in tools.items():
                case = Case(url + "/", PACED_CONNECTIONS, seconds, rate=rate)
                figures = run(case, programs)
                urllib.request.urlopen(url + "/stamps").read()
                stamps = [int(line) for line in (Path(name) / "stamps").read_text().split()]
                told = row["tools"][tool] = {**_gaps(stamps, rate), "rate": figures.per_second}
                if tool == "ours":
                    told["lateness_p99"] = figures.lateness_p99
                shown = "".join(f"{told[key]:>10.0f}" for key in ("p50", "p99", "max", "off_p50", "off_p99"))
                print(f"  {rate:>6}/s {tool:8}{shown}{told['rate']:>10.1f}", flush=True)
            found.append(row)
    print("  (microseconds; `off` is how far arrivals are behind the earliest even schedule)")
    return found


def _gaps(stamps: list[int], rate: float) -> dict[str, float]:
    gaps = sorted((b - a) / 1000 for a, b in zip(stamps, stamps[1:]))
    step = 1e9 / rate
    behind = [at - k * step for k, at in enumerate(stamps)]
    off = sorted((value - min(behind)) / 1000 for value in behind)

    def at(values: list[float], share: float) -> float:
        return round(values[min(len(values) - 1, int(share * len(values)))], 1)

    return {
        "p50": at(gaps, 0.5), "p99": at(gaps, 0.99), "max": round(gaps[-1], 1),
        "off_p50": at(off, 0.5), "off_p99": at(off, 0.99),
    }  # fmt: skip


def memory(programs: Programs, calls: int) -> dict[str, Any]:
    """The greatest resident size of one process that sends so many requests."""
    with nginx(programs) as url:
        short = ours(Case(url + "/", 64, 0, calls=1000), programs)
        figures = ours(Case(url + "/", 64, 0, calls=calls), programs)
    print(
        f"\nmemory: {figures.memory:.1f} MB over {figures.requests} requests ({short.memory:.1f} over 1000), "
        f"{figures.failed} failed; at most {MEMORY_LIMIT} MB are wanted"
    )
    return {"requests": figures.requests, "megabytes": figures.memory, "megabytes_of_1000": short.memory}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="The load engine beside wrk, hey and Fortio.")
    parser.add_argument("--seconds", type=float, default=4, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each tool in each case")
    parser.add_argument("--calls", type=int, default=5_000_000, help="requests of the memory run")
    parser.add_argument("--only", choices=["throughput", "pacing", "memory"])
    parser.add_argument("--out", default="build/bench/bench.json")
    given = parser.parse_args()
    programs = obtain()
    found: dict[str, Any] = {"machine": machine(), "tools": sorted(available(programs))}
    if given.only in (None, "throughput"):
        found["throughput"] = throughput(programs, given.seconds, given.rounds)
    if given.only in (None, "pacing"):
        found["pacing"] = pacing(programs, max(given.seconds, 2))
    if given.only in (None, "memory"):
        found["memory"] = memory(programs, given.calls)
    if "fortio" not in programs.paths:
        print("\nFortio is not on PATH and was left out.")
    out = Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1, default=dataclasses.asdict) + "\n")
    print(f"\n{out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
