# SPDX-License-Identifier: GPL-3.0-or-later
"""Which page of docs/runbooks helps with what: the one place that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

FOLDER = "docs/runbooks"
"""Where the pages lie, in the collection's own folder."""

LOST = "requests-were-lost"
EXPERIMENT = "experiment-failed"
NEVER_READY = "canary-never-ready"
STUCK = "rollout-is-stuck"
WAIT = "wait-does-not-end"
INCONCLUSIVE = "verdict-inconclusive"
GENERATOR = "load-generator"
TEARDOWN = "teardown-hangs"

OF_RULES: Mapping[str, str] = {
    "nothing_lost": LOST,
    "evidence_complete": INCONCLUSIVE,
    "gap_short": LOST,
    "latency_kept": LOST,
    "first_token_kept": LOST,
    "token_gaps_kept": LOST,
    "run_not_stopped": STUCK,
    "change_happened": STUCK,
    "experiment_succeeded": EXPERIMENT,
    "expected_winner": EXPERIMENT,
    "iterations_done": EXPERIMENT,
    "traffic_moved": STUCK,
    "ready_at_end": NEVER_READY,
    "handlers_succeeded": EXPERIMENT,
    "nothing_deleted": EXPERIMENT,
    "driver_decided": EXPERIMENT,
    "load_spans_rollout": INCONCLUSIVE,
    "requests_in_every_phase": INCONCLUSIVE,
    "answers_named": INCONCLUSIVE,
    "known_revisions_only": LOST,
    "canary_got_traffic": INCONCLUSIVE,
    "enough_per_revision": INCONCLUSIVE,
    "none_at_weight_zero": LOST,
    "shares_as_set": LOST,
    "watched_throughout": INCONCLUSIVE,
    "views_agree": INCONCLUSIVE,
    "clocks_known": INCONCLUSIVE,
    "log_whole": INCONCLUSIVE,
    "sent_once": INCONCLUSIVE,
    "log_agrees": INCONCLUSIVE,
    "load_complete": GENERATOR,
    "enough_requests": INCONCLUSIVE,
    "generators_whole": GENERATOR,
    "counts_agree": INCONCLUSIVE,
    "answers_whole": INCONCLUSIVE,
    "rate_kept": GENERATOR,
    "generator_ran": GENERATOR,
    "generator_on_time": GENERATOR,
    "generator_healthy": GENERATOR,
    "clock_steady": INCONCLUSIVE,
}
"""The page for a reason of the verdict, by the name of its rule."""

OF_WAITS: Mapping[str, Mapping[str, str]] = {
    "experiment_wait": {
        "timeout": WAIT,
        "failed": EXPERIMENT,
        "deleted": EXPERIMENT,
        "rolled_back": EXPERIMENT,
    },
    "inferenceservice_wait": {"timeout": WAIT, "failed": NEVER_READY},
}
"""The page for a wait that failed, by the module and its outcome."""


def path(page: str) -> str:
    """The page's file, relative to the collection."""
    return f"{FOLDER}/{page}.md"


def of_reasons(rules: Iterable[str]) -> list[str]:
    """The files of the pages for these reasons of a verdict, each once, in the order of the reasons."""
    return list(dict.fromkeys(path(OF_RULES[rule]) for rule in rules if rule in OF_RULES))


def advice(page: str | None) -> str:
    """What is added to the message of a failure, with the space before it; nothing where no page helps."""
    return f" What to do: {path(page)}." if page else ""
