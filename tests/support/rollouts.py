# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs for tests: what a load test, a timeline and the last objects of a rollout look like.

The load is open loop at `rate`; each second is shared between the revisions exactly as the weights say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.access_log import AccessLog
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.tests.support import builders
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY

START = 1_800_000_000
# Seconds after the load's start at which the traffic changes, and the canary's weight from then on.
WEIGHTS = (
    (10, 1),
    (20, 5),
    (25, 15),
    (30, 25),
    (35, 35),
    (40, 45),
    (45, 55),
    (50, 65),
    (55, 75),
    (60, 85),
    (65, 95),
)
APPLIED = 5.0
COMPLETED = 75.0
SETTLED = 77.0
ENDED = 90
LATENCY = 0.02


@dataclass
class Run:
    """A run to be bent into shape by a test before `evidence()` is taken."""

    load: dict[str, Any] | None
    timeline: list[dict[str, Any]] | None
    experiment: dict[str, Any] | None
    inferenceservice: dict[str, Any] | None
    problems: dict[str, str] = field(default_factory=dict)
    access_log: AccessLog | None = None
    observations: list[dict[str, Any]] | None = None

    @property
    def own(self) -> dict[str, Any]:
        """The part of the load's result that is not Fortio's."""
        assert self.load is not None
        part: dict[str, Any] = self.load["LoadTest"]
        return part

    def evidence(self) -> Evidence:
        return Evidence(
            self.load,
            self.timeline,
            self.experiment,
            self.inferenceservice,
            self.access_log,
            self.problems,
            self.observations,
        )

    def event(self, source: str, name: str) -> dict[str, Any]:
        """The first event of this name."""
        assert self.timeline is not None
        return next(e for e in self.timeline if (e["source"], e["event"]) == (source, name))

    def drop_events(self, source: str, name: str) -> None:
        assert self.timeline is not None
        self.timeline = [e for e in self.timeline if (e["source"], e["event"]) != (source, name)]


def event(after: float, source: str, kind: str, **data: Any) -> dict[str, Any]:
    return {"time": START + after, "source": source, "event": kind, "text": f"{kind} {data}", "data": data}


def weight_at(second: int, final: int | None = 100) -> int:
    """The canary's weight during this second of the run; `final` once the rollout has settled."""
    if final is not None and second >= SETTLED:
        return final
    return next((weight for at, weight in reversed(WEIGHTS) if second >= at), 0)


def timeline(final: int = 100, winner: str | None = "canary") -> list[dict[str, Any]]:
    def split(canary: int) -> dict[str, int]:
        return {name: n for name, n in ((BASELINE, 100 - canary), (CANARY, canary)) if n}

    events = [
        event(0.1, "playbook", "load_started"),
        event(0.3, "inferenceservice", "traffic", traffic={BASELINE: 100}),
        event(APPLIED, "playbook", "canary_applied", baseline=BASELINE),
        event(APPLIED + 1, "inferenceservice", "revision_created", revision=CANARY),
        event(APPLIED + 4, "inferenceservice", "revision_ready", revision=CANARY),
        event(WEIGHTS[0][0], "inferenceservice", "traffic", traffic=split(1)),
        event(15, "playbook", "experiment_created"),
    ]
    for iteration, (at, canary) in enumerate(WEIGHTS[1:], start=1):
        data = {
            "iteration": iteration,
            "weights": {"baseline": 100 - canary, "canary": canary},
            "winner": winner,
        }
        events.append(event(at - 0.1, "experiment", "iteration", **data))
        events.append(event(at, "inferenceservice", "traffic", traffic=split(canary)))
    end = "Experiment completed successfully"
    return [
        *events,
        event(COMPLETED, "experiment", "completed", winner=winner, message=end, failed=False),
        event(
            SETTLED - 0.5,
            "experiment",
            "handler",
            name="finish",
            job="finish-handler-x",
            status="succeeded",
            failed=False,
        ),
        event(SETTLED, "inferenceservice", "traffic", traffic=split(final)),
        event(ENDED, "playbook", "load_stopped"),
    ]


def histogram(count: int, value: float = LATENCY) -> dict[str, Any]:
    data = [{"Start": value / 2, "End": value, "Percent": 100, "Count": count}] if count else []
    return {
        "Count": count,
        "Min": value / 2,
        "Max": value,
        "Sum": count * value,
        "Avg": value * 0.75,
        "StdDev": 0.0,
        "Data": data,
        "Percentiles": [],
    }


def gap(seconds: float, after: float = 30.0) -> dict[str, float]:
    return {"seconds": seconds, "start": START + after, "end": START + after + seconds}


def load(rate: int = 100, weight: Callable[[int], int] = weight_at, seconds: int = ENDED) -> dict[str, Any]:
    rows = []
    total = {BASELINE: 0, CANARY: 0}
    for second in range(seconds):
        canary = round(rate * weight(second) / 100)
        revisions = {name: n for name, n in ((BASELINE, rate - canary), (CANARY, canary)) if n}
        for name, n in revisions.items():
            total[name] += n
        rows.append(
            {"second": START + second, "sent": rate, "ok": rate, "failed": 0, "revisions": revisions}
            | {"p50": LATENCY / 2, "p99": LATENCY, "max": LATENCY}
        )
    requests = rate * seconds
    apart = 1.05 / rate
    own = {
        "schema": 1,
        "name": "rollout",
        "state": "stopped",
        "started": float(START),
        "ended": float(START + seconds),
        "requests": requests,
        "ok": requests,
        "failed": 0,
        "asked_rate": rate,
        "actual_rate": float(rate),
        "rate_kept": True,
        "classes": {},
        "client_faults": 0,
        "ledger": [],
        "ledger_dropped": 0,
        "timeline_dropped": 0,
        "address_failovers": 0,
        "resent": {},
        "revisions": {name: {"requests": n, "failed": 0} for name, n in total.items() if n},
        "connection_modes": {
            "keep-alive": {
                "requests": requests // 2,
                "failed": 0,
                "longest_success_gap": gap(max(0.22, 2 * apart)),
            },
            "new": {
                "requests": requests - requests // 2,
                "failed": 0,
                "longest_success_gap": gap(max(0.23, 2 * apart)),
            },
        },
        "longest_success_gap": gap(max(0.21, apart)),
        "outages": [],
        "outages_of_all": [],
        "arrivals": [
            {"arrival": "uniform", "seed": 0, "profile": [], "send_times": 0, "repeat": False},
        ],
        "payloads": {},
        "longest_pause": 0.0,
        "longest_mode_pause": 0.0,
        "streamed": None,
        "lateness": {"p50": 0.0001, "p99": 0.002, "max": 0.01},
        "stalls": [],
        "wall_clock_drift": 0.0,
        "request_ids": [{"prefix": "ab12-", "first": 1, "last": requests}],
        "response_time": histogram(requests),
        "timeline": rows,
    }
    return {
        "RunType": "HTTP",
        "URL": "http://127.7.0.9:8080/v1/models/my-model:predict",
        "RequestedQPS": str(rate),
        "ActualDuration": seconds * 1_000_000_000,
        "RetCodes": {"200": requests},
        "DurationHistogram": histogram(requests),
        "LoadTest": own,
    }


def stream(run: Run, tokens: int = 10) -> Run:
    """The same run with answers that were streamed, each of so many tokens."""
    own = run.own
    requests = own["requests"]
    revisions = {name: row["requests"] for name, row in own["revisions"].items()}
    own["streamed"] = {
        "tokens": requests * tokens,
        "first_token": histogram(requests),
        "first_token_by_revision": {name: histogram(n) for name, n in revisions.items()},
        "token_gap": histogram(requests * (tokens - 1)),
        "token_gap_by_revision": {name: histogram(n * (tokens - 1)) for name, n in revisions.items()},
        "histograms": {
            "tokens": {"count": requests, "sum": requests * tokens},
            "first_token": {},
            "token_gap": {},
        },
    }
    return run


def good(rate: int = 100) -> Run:
    """A run in which everything went well."""
    return Run(load(rate), timeline(), builders.finished(), builders.promoted())


def rolled_back(rate: int = 100) -> Run:
    """The canary misses an objective: iter8 gives it 5 % throughout, and then nothing."""
    run = good(rate)
    run.load = load(rate, lambda second: 0 if second >= SETTLED else min(5, weight_at(second)))
    run.timeline = timeline(final=0, winner="default")
    for line in run.timeline:
        if line["event"] == "traffic" and CANARY in line["data"]["traffic"]:
            canary = min(5, line["data"]["traffic"][CANARY])
            line["data"]["traffic"] = {BASELINE: 100 - canary, CANARY: canary}
    run.experiment = builders.finished(
        winner="default",
        weights=(95, 5),
        assessments={"default": [True, True], "canary": [False, True]},
        metrics={
            "mean-latency": {"default": "12.5", "canary": "1243.4"},
            "error-rate": {"default": 0, "canary": "0"},
        },
    )
    run.inferenceservice = builders.isvc(traffic={BASELINE: 100})
    return run


def lose(
    run: Run, after: float, revision: str = CANARY, kind: str = "status", status: int | None = 500
) -> None:
    """Turn one success at `after` seconds into a loss, in every place that counts it."""
    own = run.own
    row = own["timeline"][int(after)]
    row["ok"] -= 1
    row["failed"] += 1
    own["ok"] -= 1
    own["failed"] += 1
    lost = own["revisions"].setdefault(revision, {"requests": 0, "failed": 0})
    lost["failed"] += 1
    if lost["failed"] > lost["requests"]:
        # It is a request of this revision, then, and not of who answered it.
        lost["requests"] += 1
        victim = CANARY if row["revisions"].get(CANARY) else BASELINE
        own["revisions"][victim]["requests"] -= 1
        row["revisions"][victim] -= 1
        row["revisions"][revision] = row["revisions"].get(revision, 0) + 1
    own["connection_modes"]["keep-alive"]["failed"] += 1
    own["classes"][kind] = own["classes"].get(kind, 0) + 1
    if kind == "client":
        own["client_faults"] += 1
    assert run.load is not None
    code = str(status) if kind == "status" else "-1"
    run.load["RetCodes"]["200"] -= 1
    run.load["RetCodes"][code] = run.load["RetCodes"].get(code, 0) + 1
    at = START + after
    own["ledger"].append(
        {
            "seq": len(own["ledger"]),
            "class": kind,
            "detail": "",
            "intended": at,
            "sent": at,
            "first_byte": None,
        }
        | {"end": at + LATENCY, "waited": LATENCY, "connection": 3, "reuse": 17, "peer": "127.7.0.9:8080"}
        | {"status": status}
        | {
            "errno": None,
            "request_id": f"r-{len(own['ledger'])}",
            "sent_id": f"r-{len(own['ledger'])}",
            "payload": "",
            "first_token": None,
            "tokens": None,
            "revision": revision,
            "connection_mode": "keep-alive",
            "grpc_status": None,
        }
    )


def slow(run: Run, second: int, seconds: float) -> None:
    """The slowest answer of this second of the run, and of all."""
    response = run.own["response_time"]
    run.own["timeline"][second]["max"] = response["Max"] = response["Data"][-1]["End"] = seconds


def log_of(run: Run, **changes: Any) -> AccessLog:
    """What a gateway's log that has every request says, with fields of the AccessLog changed."""
    assert run.load is not None
    own = run.own
    requests = own["requests"]
    log = AccessLog(
        lines=requests,
        unread=0,
        requests=requests,
        repeated=0,
        statuses={code: n for code, n in run.load["RetCodes"].items() if code != "-1"},
        revisions={name: row["requests"] for name, row in own["revisions"].items()},
        seconds={row["second"]: dict(row["revisions"]) for row in own["timeline"]},
        first=float(START),
        last=float(START + ENDED),
        entries={},
    )
    return replace(log, **changes)


def unnamed(run: Run) -> None:
    """No answer names its revision."""
    own = run.own
    own["revisions"] = {"": {"requests": own["requests"], "failed": own["failed"]}}
    for row in own["timeline"]:
        row["revisions"] = {"": row["ok"] + row["failed"]}
    for row in own["ledger"]:
        row["revision"] = ""


def figures(found: Mapping[str, Any], rule: str) -> dict[str, Any]:
    """The figures of the first reason of this rule in a verdict."""
    return next(reason["figures"] for reason in found["reasons"] if reason["rule"] == rule)


BY_ITER8 = {("playbook", "canary_applied"), ("playbook", "experiment_created")}


def observed(run: Run, driver: str = "observe") -> Run:
    """The same rollout, where something else than iter8 moved the traffic."""
    assert run.timeline is not None
    awaited = event(APPLIED - 2, "playbook", "change_awaited", baseline=BASELINE, driver=driver)
    changed = event(APPLIED, "inferenceservice", "changed", generation=2)
    rest = [
        each
        for each in run.timeline
        if each["source"] != "experiment" and (each["source"], each["event"]) not in BY_ITER8
    ]
    run.timeline = sorted([awaited, changed, *rest], key=lambda each: each["time"])
    run.experiment = None
    return run
