# SPDX-License-Identifier: GPL-3.0-or-later
"""gRPC: the load engine beside ghz, unary over h2c against a server in Go that answers the same bytes each
time.

usage: grpc_bench.py [--seconds S] [--rounds N] [--rate R] [--out FILE]

Needs Go, which builds ghz and the server into the cache. The open loop comes first: its rate, and how late
each request was sent. Then both as fast as they can, in turns, with the CPU time of generator and server for
each request: whose processor is full is what bounds it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.package import copy_to
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages
from programs import Programs
from run import machine
from servers import free_port, wait_for
from tools import _number, _quantile, _run

HERE = Path(__file__).resolve().parent
PAYLOAD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}
CONNECTIONS, STREAMS = 4, 16
Row = dict[str, Any]


def obtain() -> tuple[str, str]:
    """ghz and the server, built where they are not in the cache yet. Raises RuntimeError without Go."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "iter8-kfserving" / "bench" / "bin"
    ghz, server = folder / "ghz", folder / "grpc_server"
    if not (ghz.exists() and server.exists()) and shutil.which("go") is None:
        raise RuntimeError("Go is needed to build ghz and the server, and is not on PATH")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(folder), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    if not ghz.exists():
        print("bench: building ghz", flush=True)
        subprocess.run(["go", "install", "github.com/bojand/ghz/cmd/ghz@latest"], env=environment, check=True)
    if not server.exists():
        print("bench: building the server", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            for name in ("main.go", "go.mod"):
                shutil.copy(HERE / "grpc_server" / name, scratch)
            subprocess.run(["go", "build", "-o", str(server), "."], cwd=scratch, env=environment, check=True)
    return str(ghz), str(server)


@contextlib.contextmanager
def serving(program: str, folder: Path) -> Iterator[tuple[int, int]]:
    """The server; yields its port and its process."""
    (folder / "answer").write_bytes(messages.answer("m").SerializeToString())
    port = free_port()
    process = subprocess.Popen([program, str(port), str(folder / "answer")], stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has taken."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def ours(engine: Path, port: int, pid: int, seconds: float, rate: float = 0) -> Row:
    """The engine as a job runs it; `lateness` in microseconds, where there is a rate."""
    options = {
        "url": f"grpc://127.0.0.1:{port}/v2/models/m", "rate": rate, "duration": int(seconds * 1e9),
        "connections": CONNECTIONS, "streams": STREAMS,
        "payloads": [base64.b64encode(json.dumps(PAYLOAD).encode()).decode()],
    }  # fmt: skip
    before = cpu_of(pid)
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, "-I", "-S", str(engine), "--json", file.name]
        _said, cpu, memory = _run(command, Programs(environment=dict(os.environ)), json.dumps(options))
        result = json.loads(Path(file.name).read_text())
    own, served = result["LoadTest"], result["LoadTest"]["histograms"]["service"]
    late, count = own["histograms"]["lateness"], served["count"]
    return {
        "per_second": result["ActualQPS"],
        "failed": own["failed"],
        "requests": count,
        "p50": _quantile(served["counts"], count, 0.5),
        "p99": _quantile(served["counts"], count, 0.99),
        "cpu": cpu / count * 1e6,
        "server_cpu": (cpu_of(pid) - before) / count * 1e6,
        "memory": memory,
        "lateness": {
            "p50": _quantile(late["counts"], late["count"], 0.5),
            "p99": _quantile(late["counts"], late["count"], 0.99),
            "max": late["max"],
            "counted": late["count"],
        },
        "rate_kept": own["rate_kept"],
        "unsent": own["unsent"],
        "stalls": own["stall_count"],
    }


def ghz(program: str, port: int, pid: int, seconds: float) -> Row:
    """ghz with as many calls in flight on as many connections."""
    tensor = {
        "name": "x", "datatype": "FP32", "shape": [1, 4], "contents": {"fp32_contents": [5.1, 3.5, 1.4, 0.2]},
    }  # fmt: skip
    asked = json.dumps({"model_name": "m", "inputs": [tensor]})
    command = [
        program, "--insecure", "--proto", str(HERE / "grpc_server" / "inference.proto"),
        "--call", "inference.GRPCInferenceService.ModelInfer", "-d", asked,
        "--concurrency", str(CONNECTIONS * STREAMS), "--connections", str(CONNECTIONS),
        "--duration", f"{seconds:g}s", "--duration-stop", "wait", "--total", "0", f"127.0.0.1:{port}",
    ]  # fmt: skip
    before = cpu_of(pid)
    said, cpu, memory = _run(command, Programs(environment=dict(os.environ)))
    count = int(_number(r"Count:\s+([0-9]+)", said))
    right = int(_number(r"\[OK\]\s+([0-9]+) responses", said))
    return {
        "per_second": _number(r"Requests/sec:\s+([0-9.]+)", said),
        "failed": count - right,
        "requests": count,
        "p50": _number(r"50 % in ([0-9.]+) ms", said) * 1e3,
        "p99": _number(r"99 % in ([0-9.]+) ms", said) * 1e3,
        "cpu": cpu / count * 1e6,
        "server_cpu": (cpu_of(pid) - before) / count * 1e6,
        "memory": memory,
    }


def show(name: str, row: Row) -> None:
    numbers = "".join(f"{row[key]:>11.0f}" for key in ("per_second", "p50", "p99", "cpu", "server_cpu"))
    print(f"  {name:6}{numbers}{row['failed']:>8}{row['memory']:>8.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="gRPC: the load engine beside ghz.")
    parser.add_argument("--seconds", type=float, default=5, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each tool at full speed")
    parser.add_argument("--rate", type=float, default=500, help="requests a second of the open loop")
    parser.add_argument("--out", default="build/bench/bench.json", help="its key `grpc` gets the figures")
    given = parser.parse_args()
    try:
        program, server = obtain()
    except RuntimeError as problem:
        print(f"\ngRPC was left out: {problem}.")
        return 0
    found: Row = {"machine": machine(), "connections": CONNECTIONS, "streams": STREAMS}
    with tempfile.TemporaryDirectory() as scratch, serving(server, Path(scratch)) as (port, pid):
        engine = copy_to(Path(scratch), True)
        head = "".join(f"{each:>11}" for each in ("req/s", "p50 us", "p99 us", "CPU us", "server us"))
        print(f"unary over h2c, {CONNECTIONS} connections\n  {'':6}{head}{'failed':>8}{'MB':>8}")
        paced = found["paced"] = ours(engine, port, pid, given.seconds, given.rate)
        show("open", paced)
        late = paced["lateness"]
        print(
            f"  {given.rate:g}/s: {late['counted']} sent, late by {late['p50']:.0f} us at p50, "
            f"{late['p99']:.0f} at p99, {late['max']} at most; {paced['unsent']} not sent, "
            f"{paced['stalls']} stalls, kept: {paced['rate_kept']}"
        )
        runs: dict[str, list[Row]] = {"ours": [], "ghz": []}
        for turn in range(given.rounds):
            for name in list(runs)[:: 1 if turn % 2 else -1]:
                tool = (
                    ours(engine, port, pid, given.seconds)
                    if name == "ours"
                    else ghz(program, port, pid, given.seconds)
                )
                runs[name].append(tool)
        found["fastest"] = {
            name: {
                key: statistics.median(row[key] for row in rows)
                for key in rows[0]
                if key not in ("lateness",)
            }
            for name, rows in runs.items()
        }
        for name, row in found["fastest"].items():
            show(name, row)
        pairs = zip(runs["ours"], runs["ghz"])
        found["ratio"] = statistics.median(a["per_second"] / b["per_second"] for a, b in pairs)
        most = 1e6 / found["fastest"]["ours"]["cpu"]
        print(f"  ours is {found['ratio']:.2f} times ghz; one processor makes {most:.0f} of ours")
    out = Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    have = json.loads(out.read_text()) if out.exists() else {}
    out.write_text(json.dumps({**have, "grpc": found}, indent=1) + "\n")
    print(f"\n{out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
