# SPDX-License-Identifier: GPL-3.0-or-later
"""iter8's handler Jobs, read: which Job belongs to an Experiment, and how far it is.

In v2alpha1 an Experiment is marked completed in the same write that launches its finish Job, and nobody
records whether that Job did its work. So a wait for the promotion reads the Job itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .events import Event, State
from .tree import conditions, mapping, name_of, number, text


def handler_of(job_name: str, experiment: Mapping[str, Any]) -> str | None:
    """The handler (``start``, ``finish``, …) that a Job of this name runs for the Experiment; None for
    others.

    The names are ``<handler>-handler-<experiment>-<last segment of its UID>``.
    """
    metadata = mapping(experiment, "metadata")
    segment = text(metadata, "uid").rpartition("-")[2]
    ending = f"-handler-{text(metadata, 'name')}-{segment}"
    return job_name[: -len(ending)] or None if segment and job_name.endswith(ending) else None


def last_handler(experiment: Mapping[str, Any], rolled_back: bool) -> str | None:
    """The handler that ends a v2alpha1 Experiment; None where none is run, or where its end is in the status.

    Later versions write their completed condition only after the last action, so no Job is to be waited for.
    A Performance experiment has no finish handler unless its spec names one.
    """
    if not text(experiment, "apiVersion").endswith("/v2alpha1"):
        return None
    strategy = mapping(experiment, "spec", "strategy")
    named = text(mapping(strategy, "handlers"), "rollback" if rolled_back else "finish")
    if named:
        return named if named != "none" else None
    return None if text(strategy, "type") == "Performance" else "finish"


def assess(job: Mapping[str, Any] | None) -> tuple[State, str]:
    """A Job's state and, where it failed, why. Attempts that failed leave it pending: the Job tries again."""
    for condition in conditions(job):
        if condition.status == "True" and condition.type == "Complete":
            return State.SUCCEEDED, ""
        if condition.status == "True" and condition.type == "Failed":
            return State.FAILED, condition.message or condition.reason or "no reason given"
    return State.PENDING, ""


def transitions(previous: Mapping[str, Any] | None, current: Mapping[str, Any], handler: str) -> list[Event]:
    """What happened to a handler's Job between two snapshots: launched, a failed attempt, its end."""
    job = name_of(current)
    events = []
    state, reason = assess(current)
    attempts = number(mapping(current, "status"), "failed")
    if previous is None:
        events.append(_event(handler, job, "launched", f"{handler} handler launched"))
    if state is State.PENDING and attempts > number(mapping(previous, "status"), "failed"):
        events.append(_event(handler, job, "retrying", f"{handler} handler: attempt {attempts} failed"))
    if state is not State.PENDING and assess(previous)[0] is State.PENDING:
        ended = "succeeded" if state is State.SUCCEEDED else f"failed: {reason}"
        events.append(_event(handler, job, state.value, f"{handler} handler {ended}"))
    return events


def _event(handler: str, job: str, status: str, message: str) -> Event:
    data = {"name": handler, "job": job, "status": status, "failed": status == State.FAILED.value}
    return Event("experiment", "handler", message, data)
