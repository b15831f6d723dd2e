# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts that were recorded on a real cluster, as the evidence that would have been kept of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.watch import Notice
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.recorder import (
    ObservationRecorder,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.facts import Evidence
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.objects.view import View
from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.recordings import rows_of
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, event, histogram


def recorded(name: str, revisions: Mapping[str, str] | None = None, learned: bool = False) -> Evidence:
    """A recorded rollout as the evidence that this collection would have kept of it.

    `revisions` says what the names are that the load of Standard mode saw; with `learned` the playbook said
    that they were to be learned.
    """
    rows = rows_of(name)
    observations: list[dict[str, Any]] = []
    timeline: list[dict[str, Any]] = []
    recorder = ObservationRecorder("m", "", observations.append, timeline.append)
    begun = next(row["at"] for row in rows if row.get("mark") == "load_started")
    ended = next(row["at"] for row in rows if row.get("mark") == "load_stopped")
    changes = [row["at"] for row in rows if "mark" in row and begun < row["at"] < ended]
    view, serving = View(), ""
    recorder.began(START - 1.0)
    for number, row in enumerate(rows):
        if "object" not in row:
            continue
        # What a recording cuts: versions, which tell nothing here but that something is new.
        obj = {**row["object"], "metadata": {**row["object"]["metadata"], "resourceVersion": str(number)}}
        kind = "deleted" if row.get("gone") else "present"
        feed = obj["kind"].lower()
        recorder.take(Notice(feed, kind, 0.0, obj["metadata"]["name"], obj), START + row["at"])
        view.take(obj, row.get("gone") is True)
        if row["at"] < changes[0]:
            serving = view.snapshot.revisions.serving
    recorder.ended(START + ended + 1.0)
    marks = [
        event(begun, "playbook", "load_started"),
        event(changes[0] - 1.0, "playbook", "change_awaited", baseline=serving, driver="observe"),
        *([event(changes[0] - 1.1, "playbook", "names_learned")] if learned else []),
        event(ended - 0.5, "playbook", "rollout_ended"),
        event(ended + 0.1, "playbook", "load_stopped"),
    ]
    load = _load(rows, begun, ended, revisions or {})
    last = dict(view.inferenceservice or {})
    return Evidence(load, sorted([*timeline, *marks], key=_time), None, last, observations=observations)


def replicasets(name: str) -> list[str]:
    """The ReplicaSets of a recording, in the order in which they came."""
    named = [
        row["object"]["metadata"]["name"]
        for row in rows_of(name)
        if "object" in row and row["object"]["kind"] == "ReplicaSet"
    ]
    return list(dict.fromkeys(named))


def _time(row: Mapping[str, Any]) -> float:
    return float(row["time"])


def _gap(seconds: Mapping[int, Mapping[str, Any]], begun: float) -> dict[str, float]:
    """The longest time between two seconds with a success, or 0.1 s where each has some."""
    busy = sorted(second for second, row in seconds.items() if row["ok"])
    before, after = max(zip(busy, busy[1:]), key=lambda pair: pair[1] - pair[0])
    if after - before < 2:
        return rollouts.gap(0.1, begun + 1.0)
    return {"seconds": after - before - 1.0, "start": before + 1.0, "end": float(after)}


def _load(rows: list[dict[str, Any]], begun: float, ended: float, names: Mapping[str, str]) -> dict[str, Any]:
    """load.json with the seconds of the recording."""
    seconds: dict[int, dict[str, Any]] = {}
    ledger: list[dict[str, Any]] = []
    revisions: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for row in (each for each in rows if "load" in each):
        counts, at = row["load"], START + row["at"] - 1
        answered: Counter[str] = Counter(
            {names.get(name, name): n for name, n in counts["revisions"].items()}
        )
        second = seconds.setdefault(
            int(at), {"second": int(at), "ok": 0, "failed": 0, "revisions": Counter(), "max": 0.05}
        )
        second["ok"] += counts["ok"]
        second["failed"] += counts["failed"]
        second["revisions"] += answered
        revisions += answered
        # What was answered with an error is named; what was not answered names nobody.
        loser = "" if answered[""] or not counts["failed"] else max(answered)
        failures[loser] += counts["failed"]
        ledger += [
            {
                "sent": at + 0.5,
                "class": "status",
                "status": 503,
                "revision": loser,
                "connection_mode": ("new", "keep-alive")[each % 2],
            }
            for each in range(counts["failed"])
        ]
    for second in seconds.values():
        second["sent"] = second["ok"] + second["failed"]
    ok, failed = sum(each["ok"] for each in seconds.values()), len(ledger)
    total = ok + failed
    gap = _gap(seconds, begun)
    by_mode = Counter(each["connection_mode"] for each in ledger)
    load = rollouts.load(seconds=1)
    own = load["LoadTest"]
    own.update(
        started=START + begun,
        ended=START + ended,
        requests=total,
        ok=ok,
        failed=failed,
        classes={"status": failed} if failed else {},
        revisions={name: {"requests": n, "failed": failures[name]} for name, n in revisions.items()},
        connection_modes={
            "keep-alive": {
                "requests": total - total // 2,
                "failed": by_mode["keep-alive"],
                "longest_success_gap": gap,
            },
            "new": {"requests": total // 2, "failed": by_mode["new"], "longest_success_gap": gap},
        },
        timeline=list(seconds.values()),
        ledger=ledger,
        longest_success_gap=gap,
        outages=[],
        request_ids=[{"prefix": "ab12-", "first": 1, "last": total}],
    )
    load["RetCodes"] = {"200": ok, **({"503": failed} if failed else {})}
    load["DurationHistogram"] = own["response_time"] = histogram(total)
    load["ActualDuration"] = int((ended - begun) * 1e9)
    own["actual_rate"] = own["asked_rate"] = total / (ended - begun)
    return load
