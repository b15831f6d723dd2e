# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside the real Fortio, on the PATH or built by `make test`: it reads ours, and writes as we do.

They hold for Fortio 1.11.5, of 2021, and for 1.68.0.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.percentile import percentile
from ansible_collections.iter8.kfserving.plugins.module_utils._load.result import fortio
from ansible_collections.iter8.kfserving.plugins.module_utils._load.stats.histogram import Histogram
from ansible_collections.iter8.kfserving.tests.support.ports import free_port
from ansible_collections.iter8.kfserving.tests.support.waiting import until

FORTIO = shutil.which("fortio") or shutil.which("fortio", path=str(Path(sys.executable).parent))
needs_fortio = pytest.mark.skipif(FORTIO is None, reason="no fortio on the PATH, and no Go to build one")
# What is a number for each code or each address, not a number of one name.
MAPS = ("/RetCodes", "/IPCountMap")
HISTOGRAMS = ("DurationHistogram", "Sizes", "HeaderSizes")
CALLS = 60


def failing_every_fifth() -> Callable[[Any], None]:
    """Counted over all connections: a slow machine has more of them, with fewer requests each."""
    numbers = itertools.count()

    def answer(visit: Any) -> None:
        number = next(numbers)
        body = b"x" * (50 + number * 37)
        time.sleep(number % 7 * 0.001)
        if number % 5 == 4:
            visit.send(b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        else:
            visit.ok(body)

    return answer


@pytest.fixture
def theirs(serve: Any, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """What Fortio printed and wrote of a run at full speed, in which some requests failed.

    Its log goes where the text goes, and is no part of it; that of today is JSON. Where it logs more than
    warnings, it prints a histogram of the times to connect, not a line.
    """
    file = tmp_path / "theirs.json"
    done = subprocess.run(
        [
            str(FORTIO), "load", "-qps", "0", "-n", str(CALLS), "-c", "2", "-p", "50,75,90,99,99.9", "-json",
            str(file), "-allow-initial-errors", "-loglevel", "Warning", serve(failing_every_fifth()).url,
        ],
        stderr=subprocess.PIPE, text=True, timeout=60, check=True,
    )  # fmt: skip
    text = "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("{"))
    return text, json.loads(file.read_text())


@needs_fortio
def test_every_key_of_fortio_is_ours_and_of_the_same_type(serve: Any, load: Any, theirs: Any) -> None:
    ours = json.loads(json.dumps(load(serve(failing_every_fifth()).url, calls=CALLS, connections=2)))
    number = (int, float)

    def compare(one: Any, other: Any, where: str) -> None:
        if one is None:  # a list that is empty in Go
            return
        assert isinstance(other, number if isinstance(one, number) else type(one)), where
        if where in MAPS:
            assert {type(value) for value in (*one.values(), *other.values())} == {int}, where
        elif isinstance(one, dict):
            for key, value in one.items():
                assert key in other, f"{where}/{key}"
                compare(value, other[key], f"{where}/{key}")
        elif isinstance(one, list) and one:
            compare(one[0], other[0], f"{where}/0")

    compare(theirs[1], ours, "")
    assert ours["RequestedQPS"] == theirs[1]["RequestedQPS"] == "max"
    assert ours["RequestedDuration"] == theirs[1]["RequestedDuration"] == f"exactly {CALLS} calls"
    assert [entry["Percentile"] for entry in theirs[1]["DurationHistogram"]["Percentiles"]] == [
        entry["Percentile"] for entry in ours["DurationHistogram"]["Percentiles"]
    ]


@needs_fortio
def test_a_number_of_calls_goes_before_a_duration_as_with_fortio(
    serve: Any, load: Any, tmp_path: Path
) -> None:
    """Where fewer came to an end: Fortio's, which takes no notice of the duration, by SIGINT."""
    file = tmp_path / "theirs.json"
    server = serve(lambda visit: visit.ok())
    command = [str(FORTIO), "load", "-qps", "100", "-n", "1000", "-t", "50ms", "-c", "1", "-json", str(file)]
    with subprocess.Popen(
        [*command, server.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        until(lambda: server.requests >= 10, 20, "ten requests")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
    theirs = json.loads(file.read_text())
    ours = load(server.url, rate=100, calls=1000, duration=50_000_000)
    # As many as there was time for, all five where the machine has nothing else to do.
    assert 0 < ours["DurationHistogram"]["Count"] <= 5
    for result in (theirs, ours):
        count = result["DurationHistogram"]["Count"]
        assert result["RequestedDuration"] == f"exactly 1000 calls, interrupted after {count}"
        assert result["Exactly"] == 1000


@needs_fortio
def test_buckets_and_percentiles_are_fortios(theirs: Any) -> None:
    """Its own buckets are of our bounds, and its own percentiles are what we make of its buckets."""
    for name, unit in zip(HISTOGRAMS, (0.001, 100, 5)):
        shape = theirs[1][name]
        bounds = [bound * unit for bound in fortio._BOUNDS]
        for entry in shape["Data"][:-1]:
            assert min(abs(entry["End"] - bound) for bound in bounds) < 1e-9
        for entry in shape.get("Percentiles") or []:
            assert percentile(shape, entry["Percentile"]) == pytest.approx(entry["Value"], rel=1e-12)


@needs_fortio
def test_the_text_is_fortios_line_by_line(theirs: Any) -> None:
    """Our words for Fortio's own numbers: each of its lines is one of ours, in the same order.

    But for what it says today of each connection: ours has no more of that than their number.
    """
    text, numbers = theirs
    warmup = int(text.partition("(plus ")[2].partition(" ")[0])
    empty = fortio.histogram(Histogram(), 1, 1)
    more = {
        "ErrorsDurationHistogram": empty, "ConnectionStats": empty, "IPCountMap": {}, "Uniform": False,
        "NoCatchUp": False,
        "LoadTest": {"asked_rate": 0, "warmup": warmup, "histograms": {"sleep": Histogram().to_json()}},
    }  # fmt: skip
    # Its own NumConnections is for each thread.
    connections = {"NumConnections": numbers["NumThreads"]}
    ours = iter(fortio.text({**more, **numbers, **connections}).splitlines())
    begun = text[text.index("Ended after") :].splitlines()
    for line in begun[: begun.index(next(line for line in begun if line.startswith("All done"))) + 1]:
        if re.match(r"# Socket and IP used for each connection:$|\[\d+\] +\d+ socket used, ", line):
            continue
        if line.startswith("Jitter"):
            assert any(line in own for own in ours)
        else:
            assert line in ours, f"{line!r} is not one of ours, or not in this place"


@pytest.fixture
def report_server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """`fortio report` of a folder, on the loopback."""
    port = free_port()
    folder = tmp_path / "reports"
    folder.mkdir()
    command = [
        str(FORTIO), "report", "-http-port", f"127.0.0.1:{port}", "-redirect-port", "disabled", "-data-dir",
        str(folder),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            place = ("127.0.0.1", port)
            until(
                lambda: socket.create_connection(place, 1).close() or True,
                20,
                "Fortio's server",
                ignoring=(OSError,),
            )
            yield folder, f"http://127.0.0.1:{port}/"
        finally:
            child.send_signal(signal.SIGKILL)


# What Fortio's page calls once it has fetched a result.
DRAW = """
const fs = require('fs'), vm = require('vm')
const Chart = {defaults: {global: {}}}
const context = {document: {getElementById: () => null}, window: {}, console, Date, Chart}
vm.createContext(context)
vm.runInContext(fs.readFileSync(process.argv[1], 'utf8'), context)
context.result = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
console.log(JSON.stringify(vm.runInContext('fortioResultToJsChartData(result)', context)))
"""


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return bytes(answer.read())


@needs_fortio
@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the script of Fortio's page")
def test_fortio_report_reads_ours(report_server: Any, serve: Any, load: Any, tmp_path: Path) -> None:
    folder, url = report_server
    result = load(serve(failing_every_fifth()).url, calls=CALLS, connections=2, rate=300, name="canary")
    (folder / "ours.json").write_text(json.dumps(result))
    assert "ours.json" in get(url + "browse").decode()
    assert "data/ours.json" in get(url + "data/index.tsv").decode()
    assert json.loads(get(url + "data/ours.json")) == json.loads(json.dumps(result))
    page = get(url).decode()
    script = tmp_path / "chart.js"
    script.write_bytes(get(url + page.partition("fortio_chart.js")[0].rpartition('"')[2] + "fortio_chart.js"))
    drawn = subprocess.run(
        ["node", "-e", DRAW, str(script), str(folder / "ours.json")],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "TZ": "UTC"},
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    data = json.loads(drawn.stdout)
    assert data["title"][0].startswith("canary - http://127.0.0.1:")
    assert "at 300 target qps" in data["title"][1]
    assert f" {round(100 * result['LoadTest']['failed'] / CALLS, 2):g}% errors" in data["title"][1]
    assert data["dataP"][-1]["y"] == 100
    assert sum(point["y"] for point in data["dataH"]) == 2 * CALLS


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on the PATH")
def test_the_lines_of_the_2021_script_read_ours(serve: Any, load: Any, tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    file.write_text(json.dumps(load(serve(lambda visit: visit.ok()).url, calls=12)))
    for query in (".DurationHistogram.Count", '.RetCodes."200"'):
        read = subprocess.run(
            ["jq", query, str(file)], capture_output=True, text=True, timeout=20, check=True
        )
        assert read.stdout == "12\n"
