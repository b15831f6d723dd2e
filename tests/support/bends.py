# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to bend a good run, so that one thing in its evidence is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.tests.support import rollouts
from ansible_collections.iter8.kfserving.tests.support.builders import BASELINE, CANARY
from ansible_collections.iter8.kfserving.tests.support.rollouts import START, Run

Bend = Callable[[Run], None]

STALL = {"start": START + 30.0, "seconds": 4.0}
GAP = {"seconds": 5.0, "start": START + 29.5, "end": START + 34.5}


def own(**changes: Any) -> Bend:
    """Change fields of `LoadTest`."""
    return lambda run: run.own.update(changes)


def at(source: str, name: str, after: float) -> Bend:
    """Move the first event of this name."""
    return lambda run: run.event(source, name).update(time=START + after)


def without(source: str, name: str) -> Bend:
    return lambda run: run.drop_events(source, name)


def adding(*events: dict[str, Any]) -> Bend:
    return lambda run: run.timeline.extend(events)  # type: ignore[union-attr]


def losing(*losses: dict[str, Any]) -> Bend:
    def bend(run: Run) -> None:
        for loss in losses:
            rollouts.lose(run, **loss)

    return bend


def experiment(obj: dict[str, Any] | None) -> Bend:
    return lambda run: setattr(run, "experiment", obj)


def service(obj: dict[str, Any] | None) -> Bend:
    return lambda run: setattr(run, "inferenceservice", obj)


def conditioned(told: dict[str, str]) -> Bend:
    """The InferenceService's conditions are these, by type."""

    def bend(run: Run) -> None:
        assert run.inferenceservice is not None
        run.inferenceservice["status"]["conditions"] = [{"type": t, "status": s} for t, s in told.items()]

    return bend


def damaged(name: str, words: str) -> Bend:
    def bend(run: Run) -> None:
        setattr(run, name, None)
        run.problems[name] = words

    return bend


def answered(first: int, last: int, **requests: int) -> Bend:
    """From second `first` up to `last`, this many requests a second by `baseline`, `canary` and
    `stranger`."""

    def bend(run: Run) -> None:
        names = {"baseline": BASELINE, "canary": CANARY, "unnamed": ""}
        for row in run.own["timeline"][first:last]:
            for name, n in row["revisions"].items():
                run.own["revisions"][name]["requests"] -= n
            row["revisions"] = {names.get(name, name): n for name, n in requests.items()}
            for name, n in row["revisions"].items():
                run.own["revisions"].setdefault(name, {"requests": 0, "failed": 0})["requests"] += n

    return bend


def logged(**changes: Any) -> Bend:
    """The gateway's log is given, and says what the answers do but for these changes."""
    return lambda run: setattr(run, "access_log", rollouts.log_of(run, **changes))


def both(*bends: Bend) -> Bend:
    def bend(run: Run) -> None:
        for one in bends:
            one(run)

    return bend


def unready(**words: str) -> list[dict[str, str]]:
    return [{"type": "Ready", "status": "False", **words}]


def unplanned(run: Run) -> None:
    assert run.experiment is not None
    assert run.timeline is not None
    run.experiment["status"]["completedIterations"] = 7
    run.timeline = [e for e in run.timeline if e["data"].get("iteration", 0) <= 7]


def emptied(run: Run) -> None:
    assert run.timeline is not None
    run.timeline.clear()


def compared(role: str, revision: str) -> Bend:
    def bend(run: Run) -> None:
        assert run.experiment is not None
        info = run.experiment["spec"]["versionInfo"]
        version = info["baseline"] if role == "baseline" else info["candidates"][0]
        version["tags"]["revision"] = revision

    return bend


def codes(run: Run) -> None:
    assert run.load is not None
    run.load["RetCodes"]["200"] -= 1


def counted(run: Run) -> None:
    assert run.load is not None
    run.load["DurationHistogram"]["Count"] += 1


def on_mode(mode: str, **changes: Any) -> Bend:
    return lambda run: run.own["connection_modes"][mode].update(changes)
