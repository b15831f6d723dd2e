# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generators, each a process of its own; CPU time and memory are the kernel's figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ansible_collections.iter8.kfserving.plugins.module_utils import _load
from programs import Programs

ENGINE = Path(str(_load.__file__)).resolve().with_name("main.py")


@dataclass
class Case:
    """One load. `rate` of 0 is as fast as possible; `calls` of 0 means `seconds` end it."""

    url: str
    connections: int
    seconds: float
    payload: bytes | None = None
    rate: float = 0
    calls: int = 0


@dataclass
class Figures:
    """What became of it. Times of answers in microseconds, CPU in microseconds a request, memory in MB."""

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float
    memory: float
    failed: int
    lateness_p99: float = 0


Tool = Callable[[Case, Programs], Figures]


def _run(command: list[str], programs: Programs, text: str = "") -> tuple[str, float, float]:
    """Its output, CPU seconds and greatest resident size (MB). Raises RuntimeError if it fails."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
        given.write(text.encode())
        given.seek(0)
        process = subprocess.Popen(
            command, stdin=given, stdout=out, stderr=subprocess.STDOUT, env=programs.environment
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said[-500:]}")
    return said, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"no {pattern!r} in {text[-500:]}")
    return float(found.group(1))


_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


def _microseconds(pattern: str, text: str) -> float:
    found = re.search(pattern + r"\s+([0-9.]+)(us|ms|s|m)", text)
    if found is None:
        raise RuntimeError(f"no {pattern!r} in {text[-500:]}")
    return float(found.group(1)) * _UNITS[found.group(2)]


def ours(case: Case, programs: Programs) -> Figures:
    """The engine, run by its path as a job runs it."""
    options = {
        "url": case.url, "rate": case.rate, "connections": case.connections, "calls": case.calls,
        "duration": 0 if case.calls else int(case.seconds * 1e9),
    }  # fmt: skip
    if case.payload is not None:
        import base64

        options["payloads"] = [base64.b64encode(case.payload).decode()]
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, "-I", "-S", str(ENGINE), "--json", file.name]
        _said, cpu, memory = _run(command, programs, json.dumps(options))
        result = json.loads(Path(file.name).read_text())
    own = result["LoadTest"]
    served = own["histograms"]["service"]
    count = served["count"]
    return Figures(
        count,
        result["ActualQPS"],
        _quantile(served["counts"], count, 0.5),
        _quantile(served["counts"], count, 0.99),
        cpu / max(1, count) * 1e6,
        memory,
        own["failed"],
        own["lateness"]["p99"] * 1e6,
    )


def _quantile(counts: list[list[int]], total: int, share: float) -> float:
    seen = 0
    for value, times in counts:
        seen += times
        if seen >= share * total:
            return float(value)
    return 0.0


def wrk(case: Case, programs: Programs) -> Figures:
    """With one thread; it knows no rate."""
    command = [programs.paths["wrk"], "-t1", f"-c{case.connections}", f"-d{case.seconds:g}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if case.payload is not None:
            script.write(f'wrk.method = "POST"\nwrk.body = string.rep("x", {len(case.payload)})\n')
            script.flush()
            command += ["-s", script.name]
        said, cpu, memory = _run([*command, case.url], programs)
    count = int(_number(r"([0-9]+) requests in", said))
    wrong = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", said)
    return Figures(
        count,
        _number(r"Requests/sec:\s+([0-9.]+)", said),
        _microseconds(r"50%", said),
        _microseconds(r"99%", said),
        cpu / max(1, count) * 1e6,
        memory,
        int(wrong.group(1)) if wrong else 0,
    )


def hey(case: Case, programs: Programs) -> Figures:
    """It keeps every answer's time, up to a million."""
    command = [programs.paths["hey"], "-z", f"{case.seconds:g}s", "-c", str(case.connections)]
    if case.rate:
        command += ["-q", f"{case.rate / case.connections:g}"]
    with tempfile.NamedTemporaryFile() as body:
        if case.payload is not None:
            body.write(case.payload)
            body.flush()
            command += ["-m", "POST", "-D", body.name]
        said, cpu, memory = _run([*command, case.url], programs)
    by_status = {status: int(n) for status, n in re.findall(r"\[([0-9]+)\]\s+([0-9]+) responses", said)}
    count = sum(by_status.values())
    return Figures(
        count,
        _number(r"Requests/sec:\s+([0-9.]+)", said),
        _number(r"50%+ in ([0-9.]+) secs", said) * 1e6,
        _number(r"99%+ in ([0-9.]+) secs", said) * 1e6,
        cpu / max(1, count) * 1e6,
        memory,
        count - by_status.get("200", 0),
    )


def fortio(case: Case, programs: Programs) -> Figures:
    """As fast as possible is a rate of 0; -uniform is left out, as in the quickstart."""
    with tempfile.TemporaryDirectory() as folder:
        out, body = Path(folder) / "out.json", Path(folder) / "body"
        command = [
            programs.paths["fortio"], "load", "-quiet", "-qps", f"{case.rate:g}", "-t", f"{case.seconds:g}s",
            "-c", str(case.connections), "-json", str(out), "-p", "50,99", "-r", "0.00001",
        ]  # fmt: skip
        if case.payload is not None:
            body.write_bytes(case.payload)
            command += ["-payload-file", str(body)]
        _said, cpu, memory = _run([*command, case.url], programs)
        result = json.loads(out.read_text())
    durations = result["DurationHistogram"]
    p50, p99 = (entry["Value"] * 1e6 for entry in durations["Percentiles"])
    count = durations["Count"]
    failed = count - result["RetCodes"].get("200", 0)
    return Figures(count, result["ActualQPS"], p50, p99, cpu / max(1, count) * 1e6, memory, failed)


def available(programs: Programs) -> dict[str, Tool]:
    """The generators of this machine, ours first."""
    tools: dict[str, Tool] = {"ours": ours, "wrk": wrk, "hey": hey}
    if "fortio" in programs.paths:
        tools["fortio"] = fortio
    return tools
