# SPDX-License-Identifier: GPL-3.0-or-later
"""Streamed answers: how far the engine's first tokens are from the server's own record, at what cost.

usage: streams.py [--seconds S] [--flying N [N ...]] [--peer FOLDER] [--out FILE]

A stub on loopback streams 50 tokens in ten seconds to each request; as many streams as are asked for are in
flight from the tenth second on. Their tokens come apart from each other's, or all at once, as those of a
server that computes many streams together. The error is that of each stream by itself: when the engine saw
its first token, less when the server handed it to the system, on one clock. What lies between is the
kernel's, the server's own work beside it, and the engine's.

The peer is guidellm, whose folder of programs `--peer` names, on the same stub with as many streams at once.
It wants torch, though not to send requests; an old one for Python 3.10 is the last that comes without all of
CUDA: `pip install guidellm torch==1.12.1 jinja2` takes two minutes. `vllm bench serve` is left out, since it
needs the torch of today. aiperf 0.13 did not take a tokenizer that was made on the spot.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tools import ENGINE

HERE = Path(__file__).resolve().parent
TOKENS, LENGTH = 50, 10
# ms between two tokens. Streams that begin at 5 a second or a multiple are in step with the one, and with the
# other as far apart as they can be.
GAPS = {"apart": 197, "at once": 200}
SECOND = 1_000_000_000


@contextlib.contextmanager
def stub(stamps: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server; its stamps are there once it has ended."""
    command = [sys.executable, str(HERE / "stream_server.py"), str(stamps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}", server
        finally:
            server.terminate()
            server.wait(30)


def measure(command: list[str], given: str, **more: Any) -> tuple[float, float]:
    """Run a client; CPU seconds of it and its children, and the most memory that they had together (MB).

    A page that several of them share counts once.
    """
    before = os.times()
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said, text=True, **more)
        assert child.stdin is not None
        child.stdin.write(given)
        child.stdin.close()
        most = 0.0
        while child.poll() is None:
            most = max(most, sum(map(_memory, _family(child.pid))))
            time.sleep(0.5)
        said.seek(0)
        words = said.read()
    if child.returncode:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}: {words[-1500:]}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, most


def _family(pid: int) -> list[int]:
    """A process and those that it has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _memory(pid: int) -> float:
    """Its share of what is in memory, in MB; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def ours(flying: int, seconds: int, gap: int) -> dict[str, Any]:
    """So many streams in flight for so long after they have begun one after the other."""
    payload = json.dumps({"max_tokens": TOKENS, "stream": True, "model": "stub", "gap_ms": gap}).encode()
    options = {
        "stream": "sse", "payloads": [base64.b64encode(payload).decode()], "rate": flying / LENGTH,
        "duration": (LENGTH + seconds) * SECOND, "max_connections": flying + flying // 4 + 10,
        "connections": flying, "timeout": 10 * SECOND,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stub(folder / "sent") as (url, server):
            options["url"] = f"{url}/v1/chat/completions"
            command = [
                sys.executable, "-I", "-S", str(HERE / "stream_client.py"), str(ENGINE), str(folder / "seen"),
                str(folder / "result"),
            ]  # fmt: skip
            cpu, memory = measure(command, json.dumps(options))
            spent = _cpu_of(server.pid)
        sent = _stamps(folder / "sent")
        seen = _stamps(folder / "seen")
        own = json.loads((folder / "result").read_text())["LoadTest"]
    errors = sorted((seen[ident] - at) / 1e6 for ident, at in sent.items() if ident in seen)
    tokens = own["streamed"]["tokens"]
    return {
        "flying": flying, "streams": own["requests"], "failed": own["failed"], "tokens": tokens,
        "error_ms": {f"p{share:g}": _at(errors, share) for share in (50, 99, 99.9)} | {"max": errors[-1]},
        "lateness_p99_ms": own["lateness"]["p99"] * 1e3, "cpu_seconds": cpu,
        "cpu_us_per_token": cpu / tokens * 1e6, "megabytes": memory, "server_cpu_seconds": spent,
    }  # fmt: skip


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stamps(file: Path) -> dict[str, int]:
    return {line.split()[0]: int(line.split()[1]) for line in file.read_text().splitlines()}


def _at(values: list[float], share: float) -> float:
    return round(values[min(len(values) - 1, int(share / 100 * len(values)))], 3)


def guidellm(programs: Path, flying: int, seconds: int) -> dict[str, Any]:
    """The same number of streams at once for as long. Prompts and lengths are data: no tokenizer is asked."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row = json.dumps({"prompt": "w1 w2 w3 w4 w5 w6 w7 w8", "output_tokens_count": TOKENS})
        (folder / "data.jsonl").write_text(f"{row}\n" * (10 * flying))
        with stub(folder / "sent") as (url, server):
            command = [
                str(programs / "guidellm"), "run", "--backend", f"kind=openai_http,target={url},model=stub",
                "--profile", f"kind=concurrent,streams={flying}",
                "--constraint", f"kind=max_duration,seconds={LENGTH + seconds}",
                "--data", f"kind=json_file,path={folder}/data.jsonl",
                "--output", f"kind=json,path={folder}/out.json", "--disable-console",
            ]  # fmt: skip
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
            cpu, memory = measure(command, "", env=environment, cwd=name)
            spent = _cpu_of(server.pid)
        streams = (folder / "sent").read_text().splitlines()
    tokens = sum(int(line.split()[-1]) for line in streams)
    return {
        "flying": flying, "streams": len(streams), "tokens": tokens, "cpu_seconds": cpu,
        "cpu_us_per_token": cpu / max(1, tokens) * 1e6, "megabytes": memory, "server_cpu_seconds": spent,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Streamed answers beside the server's own record.")
    parser.add_argument("--seconds", type=int, default=15, help="how long all streams are in flight")
    parser.add_argument("--flying", type=int, nargs="+", default=[50, 2000])
    parser.add_argument("--peer", type=Path, help="the folder of programs of an environment with guidellm")
    parser.add_argument("--out", default="build/bench/streams.json")
    given = parser.parse_args()
    found: dict[str, Any] = {"load_average": os.getloadavg()[0], "ours": [], "guidellm": []}
    for flying in given.flying:
        for how, gap in GAPS.items():
            row = {"tokens_come": how, **ours(flying, given.seconds, gap)}
            found["ours"].append(row)
            error = row["error_ms"]
            print(
                f"{flying} in flight, tokens {how}: {row['streams']} streams, {row['failed']} failed, "
                f"{row['tokens']} tokens; first token off by {error['p50']:.2f} ms (median), "
                f"{error['p99']:.2f} (99 %), {error['max']:.1f} (most); "
                f"{row['cpu_us_per_token']:.1f} µs of CPU a token, {row['megabytes']:.0f} MB",
                flush=True,
            )
        if given.peer:
            peer = guidellm(given.peer.resolve(), flying, given.seconds)
            found["guidellm"].append(peer)
            print(
                f"  guidellm: {peer['streams']} streams, {peer['tokens']} tokens; "
                f"{peer['cpu_us_per_token']:.1f} µs of CPU a token, {peer['megabytes']:.0f} MB",
                flush=True,
            )
    out = Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
