# SPDX-License-Identifier: GPL-3.0-or-later
"""Results in Fortio's names, units, buckets, percentiles and words, for whatever reads those."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

from ..._common.percentile import percentile
from ..duration import SECOND, go_text
from ..stats.histogram import Histogram

PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9)
MICROSECONDS = 1_000_000  # histogram units in one of Fortio's units, for durations
BYTES = 1
VERSION = "iter8.kfserving 1.0.0"

_BOUNDS = (
    list(range(13)) + list(range(14, 21, 2)) + list(range(25, 51, 5)) + list(range(60, 101, 10))
    + list(range(120, 201, 20)) + list(range(250, 501, 50)) + list(range(600, 1001, 100))
    + [2000, 3000, 4000, 5000, 7500, 10000, 20000, 30000, 40000, 50000, 75000, 100000]
)  # fmt: skip


def histogram(
    values: Histogram, units: int, resolution: int, percentiles: Sequence[float] = PERCENTILES
) -> dict[str, Any]:
    """The shape of Fortio's HistogramData.

    So many `units` of the histogram make one of Fortio's; `resolution` is in units of the histogram.
    """
    data = _data(values, units, resolution)
    made: dict[str, Any] = {
        "Count": values.count,
        "Min": _plain(values.min / units),
        "Max": _plain(values.max / units),
        "Sum": _plain(values.sum / units),
        "Avg": _plain(values.mean / units),
        "StdDev": _plain(values.deviation / units),
        "Data": data,
    }
    if percentiles:
        made["Percentiles"] = [
            {"Percentile": _plain(p), "Value": _plain(percentile(made, p) or 0.0)} for p in percentiles
        ]
    return made


def _plain(value: float) -> float:
    """As Go writes it: a whole number without a point."""
    return int(value) if value == int(value) else value


def _data(values: Histogram, units: int, resolution: int) -> list[dict[str, Any]]:
    counts = [0] * (len(_BOUNDS) + 1)
    for upper, times in values.counts.items():
        counts[bisect.bisect_left(_BOUNDS, -(-upper // resolution))] += times
    data: list[dict[str, Any]] = []
    total = 0
    for index, times in enumerate(counts):
        if not times:
            continue
        total += times
        start = (
            _BOUNDS[index - 1] * resolution / units if data or index == len(_BOUNDS) else values.min / units
        )
        end = _BOUNDS[index] * resolution / units if index < len(_BOUNDS) else values.max / units
        percent = _plain(100.0 * total / values.count)
        data.append({"Start": _plain(start), "End": _plain(end), "Percent": percent, "Count": times})
    if data:
        data[-1]["End"] = _plain(values.max / units)
    return data


def keys(options: Mapping[str, Any], snapshot: Mapping[str, Any], started_text: str) -> dict[str, Any]:
    """All keys of Fortio's result of an HTTP run, in its order. Credentials and payload stay out."""
    histograms = {name: Histogram.from_json(data) for name, data in snapshot["histograms"].items()}
    elapsed = elapsed_ns(snapshot)
    return {
        "RunType": "HTTP",
        "Labels": options["labels"]
        or options["name"],  # without one, Fortio's page shows neither URL nor date
        "StartTime": started_text,
        "RequestedQPS": f"{options['rate']:g}" if options["rate"] else "max",
        "RequestedDuration": _requested(options, snapshot["requests"]),
        "ActualQPS": snapshot["requests"] * SECOND / elapsed if elapsed else 0.0,
        "ActualDuration": elapsed,
        "NumThreads": options["connections"],
        "Version": VERSION,
        "DurationHistogram": histogram(histograms["service"], MICROSECONDS, 1000),
        "ErrorsDurationHistogram": histogram(histograms["errors"], MICROSECONDS, 1000),
        "Exactly": options["calls"],
        "Jitter": False,
        "Uniform": options["pacing"] == "open",
        "NoCatchUp": not options["catch_up"],
        "RunID": 0,
        "AccessLoggerInfo": "",
        "ID": f"{started_text[:19].replace('T', '-').replace(':', '')}_{options['name']}",
        "RetCodes": dict(sorted(snapshot["codes"].items())),
        "IPCountMap": snapshot["peers"],
        "Insecure": not options["verify"],
        "MTLS": bool(options["client_cert"]),
        "CACert": options["ca_file"],
        "Cert": options["client_cert"],
        "Key": "",
        "UnixDomainSocket": options["unix_socket"],
        "URL": options["url"],
        "NumConnections": options["connections"],
        "Compression": False,
        "DisableFastClient": False,
        "HTTP10": False,
        "H2": options["url"].startswith("grpc"),
        "DisableKeepAlive": options["connection_modes"] == "new",
        "AllowHalfClose": False,
        "FollowRedirects": False,
        "Resolve": options["address"],
        "HTTPReqTimeOut": options["timeout"],
        "UserCredentials": "",
        "ContentType": "",
        "Payload": "",
        "MethodOverride": options["method"],
        "LogErrors": False,
        "SequentialWarmup": False,
        "ConnReuseRange": [0, 0],
        "NoResolveEachConn": False,
        "Offset": 0,
        "Resolution": 0.001,
        "Sizes": histogram(histograms["sizes"], BYTES, 100),
        "HeaderSizes": histogram(histograms["head_sizes"], BYTES, 5),
        "Sockets": [snapshot["sockets"]],
        "SocketCount": snapshot["sockets"],
        "ConnectionStats": histogram(histograms["connect"], MICROSECONDS, 1000),
        "AbortOn": 0,
    }


def elapsed_ns(snapshot: Mapping[str, Any]) -> int:
    """How long requests were sent; until the last tick for a run that did not end by itself."""
    return max(0, round(float(snapshot["ended"] - snapshot["started"]) * SECOND))


def _requested(options: Mapping[str, Any], ended: int) -> str:
    """A number of calls goes before a duration, and where fewer came to an end Fortio says how many."""
    if options["calls"]:
        asked = f"exactly {options['calls']} calls"
        return asked if ended >= options["calls"] else f"{asked}, interrupted after {ended}"
    return go_text(options["duration"]) if options["duration"] else "until stop"


def text(result: Mapping[str, Any]) -> str:
    """The end-of-run text in Fortio's shape."""
    own = result["LoadTest"]
    durations = result["DurationHistogram"]
    count = durations["Count"]
    sleep = histogram(Histogram.from_json(own["histograms"]["sleep"]), MICROSECONDS, 1000, ())
    lines = [
        f"Ended after {go_text(result['ActualDuration'])} : {count} calls. qps={result['ActualQPS']:.5g}"
    ]
    if own["asked_rate"]:
        lines.append(_counter("Sleep times", sleep))
    lines += _whole("Aggregated Function Time", durations)
    lines += _whole("Error cases", result["ErrorsDurationHistogram"])
    lines.append(_counter("Connection time (s)", result["ConnectionStats"]))
    lines.append(
        f"Sockets used: {result['SocketCount']} (for perfect keepalive, would be {result['NumConnections']})"
    )
    lines.append(
        f"Uniform: {_go(result['Uniform'])}, Jitter: {_go(result['Jitter'])}, "
        f"Catchup allowed: {_go(not result['NoCatchUp'])}"
    )
    lines.append("IP addresses distribution:")
    lines += [f"{peer}: {times}" for peer, times in result["IPCountMap"].items()]
    lines += [
        f"Code {code:>3} : {count} ({100 * count / durations['Count']:.1f} %)"
        for code, count in result["RetCodes"].items()
    ]
    lines.append(_counter("Response Header Sizes", result["HeaderSizes"]))
    lines.append(_counter("Response Body/Total Sizes", result["Sizes"]))
    lines.append(
        f"All done {count} calls (plus {own['warmup']} warmup) {durations['Avg'] * 1000:.3f} ms avg, "
        f"{result['ActualQPS']:.1f} qps"
    )
    return "\n".join(lines) + "\n"


def _go(value: bool) -> str:
    return "true" if value else "false"


def _shortest(value: float) -> str:
    """As Go's %g: as many digits as tell the number from all others."""
    return repr(_plain(value))


def _whole(name: str, shape: Mapping[str, Any]) -> list[str]:
    """A histogram with all its rows and percentiles."""
    if not shape["Count"]:
        return [f"{name} : no data"]
    targets = [f"# target {entry['Percentile']:g}% {entry['Value']:.6g}" for entry in shape["Percentiles"]]
    return [_counter(name, shape), *_rows(shape), *targets]


def _counter(name: str, shape: Mapping[str, Any]) -> str:
    return (
        f"{name} : count {shape['Count']} avg {shape['Avg']:.8g} +/- {shape['StdDev']:.4g} "
        f"min {_shortest(shape['Min'])} max {_shortest(shape['Max'])} sum {shape['Sum']:.9g}"
    )


def _rows(shape: Mapping[str, Any]) -> list[str]:
    rows = ["# range, mid point, percentile, count"]
    for index, entry in enumerate(shape["Data"]):
        sign = ">" if index else ">="
        start, end = entry["Start"], entry["End"]
        span = f"{sign} {start:.6g} <= {end:.6g} , {(start + end) / 2:.6g}"
        rows.append(f"{span} , {entry['Percent']:.2f}, {entry['Count']}")
    return rows
