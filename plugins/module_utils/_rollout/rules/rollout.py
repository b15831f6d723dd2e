# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the rollout itself: did the change happen, and did it end as expected."""

from __future__ import annotations

from ..evidence.facts import Facts
from ..evidence.timeline import Moment
from ..messages import count, utc
from ..objects.events import State
from ..objects.experiment import ExperimentOutcome
from ..objects.snapshot import spell
from ..roles import CANARY
from ..thresholds import Thresholds
from .rule import Finding, Rule, failed, passed, unproven


def run_not_stopped(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    stopped = facts.marks.stopped
    if stopped is not None:
        why = stopped.text or "the timeline does not tell why"
        if facts.marks.changed_nothing:
            return unproven(f"the run was stopped before the canary was applied: {why}", **stopped.data)
        if not stopped.data.get("outcome"):
            # An observer or a module that was killed, say: nothing that the rollout did.
            message = f"the run was cut short, and nobody saw how the rollout would have ended: {why}"
            return unproven(message, **stopped.data)
        return failed(f"the run was cut short: {why}", **stopped.data)
    return passed("the run was not cut short") if facts.moments else []


def change_happened(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    baseline, canary = facts.baseline, facts.canary
    figures = {"baseline": baseline, "canary": canary, "compared": dict(facts.compared)}
    latest = facts.service.revisions.created if facts.service else ""
    if baseline and baseline == (canary or latest):
        return failed(f"nothing was rolled out: {baseline} is the baseline and the canary", **figures)
    if not baseline or not canary:
        missing = "baseline" if not baseline else "canary"
        return unproven(f"it is not known which revision the {missing} was", **figures)
    for role, name in (("baseline", baseline), ("canary", canary)):
        compared = facts.compared.get(role, name)
        if compared != name:
            return failed(f"the Experiment took {compared} for the {role}, which was {name}", **figures)
    return passed(f"the canary {canary} was rolled out over the baseline {baseline}", **figures)


def experiment_succeeded(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    outcome = facts.experiment
    if outcome is None:
        return []
    figures = {"reason": outcome.reason, "message": outcome.message, "iterations": outcome.iterations}
    message = ": ".join(filter(None, (outcome.reason, outcome.message)))
    if outcome.state is State.FAILED:
        return failed(f"the Experiment did not succeed ({message})", **figures)
    if end_untold(facts):
        return unproven("the Experiment was begun, and does not tell whether it ended", **figures)
    if outcome.state is State.PENDING:
        done = f"after {count(outcome.iterations, 'iteration')}"
        return failed(f"the Experiment did not end; {done} it stands at {message}", **figures)
    return passed(f"{outcome.message or outcome.reason}", **figures)


def end_untold(facts: Facts) -> bool:
    """Whether the Experiment was begun, by itself or by the timeline, and has nothing to say of its end."""
    outcome = facts.experiment
    if outcome is None or outcome.end_reported:
        return False
    return outcome.iterations > 0 or facts.marks.completion is not None


def expected_winner(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    outcome, wanted = facts.experiment, thresholds.expect_winner
    if outcome is None or outcome.state is State.PENDING:
        return []
    missed = [objective for objective in facts.objectives if objective.role == CANARY and not objective.met]
    figures = {
        "winner": outcome.winner,
        "expected": wanted,
        "missed": [
            {"metric": o.metric, "value": o.value, "upper_limit": o.upper_limit, "lower_limit": o.lower_limit}
            for o in missed
        ],
    }
    unclear = _unclear_winner(outcome)
    if unclear:
        return unproven(unclear, **figures)
    if outcome.winner == wanted:
        doubts = [o for o in facts.objectives if o.role == wanted and (not o.met or o.beyond or o.unfounded)]
        if doubts:
            each = "; ".join(o.text for o in doubts)
            message = f"the winner is the {wanted}, but its own assessment contradicts it: {each}"
            return unproven(message, doubtful=[o.metric for o in doubts], **figures)
        if outcome.recommended_baseline not in (None, wanted):
            message = f"the winner is the {wanted}, but the {outcome.recommended_baseline} is to be promoted"
            return unproven(message, recommended=outcome.recommended_baseline, **figures)
        return passed(f"the winner is the {wanted}", **figures)
    message = f"the winner is the {outcome.winner}" if outcome.winner else "there is no winner"
    why = "".join(f"; {objective.text}" for objective in missed)
    return failed(f"{message}, where the {wanted} was expected{why}", **figures)


def _unclear_winner(outcome: ExperimentOutcome) -> str:
    """Why it is not known who won; empty where the Experiment says it in one way."""
    if outcome.unfound:
        return f"the Experiment says that no winner was found, and that it is {outcome.unfound}"
    if outcome.winner is None and not outcome.winner_reported and outcome.state is State.SUCCEEDED:
        return "the Experiment does not tell whether there is a winner"
    return ""


def iterations_done(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    outcome = facts.experiment
    if outcome is None or outcome.state is not State.SUCCEEDED:
        return []
    wanted = thresholds.expect_iterations
    if wanted is None:
        wanted = outcome.iterations_planned
    if thresholds.expect_iterations is None and not wanted:
        # What was not planned cannot be missed.
        return []
    if not outcome.iterations_reported:
        return unproven("the Experiment does not tell how many iterations were done", expected=wanted)
    figures = {"iterations": outcome.iterations, "expected": wanted}
    if outcome.iterations > wanted and thresholds.expect_iterations is None:
        message = f"{count(outcome.iterations, 'iteration')} were done, and the Experiment planned {wanted}"
        return unproven(message, **figures)
    if outcome.iterations == wanted:
        return passed(f"all {count(wanted, 'iteration')} were done", **figures)
    return failed(
        f"{count(outcome.iterations, 'iteration')} were done, where {wanted} were expected", **figures
    )


def traffic_moved(facts: Facts, thresholds: Thresholds) -> list[Finding]:
    wanted = facts.expected(thresholds)
    if facts.service is None or not wanted:
        return []
    traffic = facts.service.traffic
    figures = {"traffic": dict(traffic), "expected": wanted}
    if not facts.service.traffic_reported:
        return unproven("the InferenceService does not tell by names how its traffic is split", **figures)
    if traffic == {wanted: 100} and facts.service.split_beside:
        others = facts.service.split_beside.items()
        each = "; ".join(f"that of the {name} is split: {spell(own)}" for name, own in others)
        return unproven(
            f"all traffic of the predictor ended on {facts.name_of(wanted)}, but {each}", **figures
        )
    if traffic == {wanted: 100}:
        return passed(f"all traffic ended on {facts.name_of(wanted)}", **figures)
    total = sum(traffic.values())
    if total not in (0, 100):
        message = f"the InferenceService tells of a split of its traffic of {total} % in all"
        return unproven(message, percent=total, **figures)
    ended = ", ".join(f"{percent} % on {facts.name_of(name)}" for name, percent in sorted(traffic.items()))
    where = f"the traffic ended with {ended or 'no revision'}"
    return failed(f"{where}, where 100 % on {facts.name_of(wanted)} was expected", **figures)


def ready_at_end(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    service = facts.service
    if service is None:
        return []
    ready = service.ready_condition
    if service.against_ready:
        each = " and ".join(service.against_ready)
        message = f"the InferenceService contradicts itself at the end: Ready is {ready.status}, but {each}"
        return unproven(message, status=ready.status, against=list(service.against_ready))
    if service.ready:
        return passed("the InferenceService was ready at the end")
    if not service.ready_reported:
        return unproven("the InferenceService does not tell whether it was ready at the end")
    message = f"the InferenceService was not ready at the end: Ready is {ready.status}"
    why = f" ({ready.message or ready.reason})" if ready.message or ready.reason else ""
    return failed(message + why, status=ready.status, reason=ready.reason, message=ready.message)


def handlers_succeeded(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    jobs = facts.marks.failed_handlers
    if not facts.moments or not facts.by_experiment:
        return []
    if not jobs and _doubtful_handlers(facts):
        data = _doubtful_handlers(facts)[0].data
        message = f"the Experiment's {data.get('name')} handler is told to have failed"
        return unproven(f"{message}, and with the status {data.get('status')}", **data)
    if not jobs:
        return passed("no handler of the Experiment failed")
    found = []
    for job in jobs:
        message = f"the Experiment's {job.data.get('name')} handler failed at {utc(job.time)}"
        found += failed(message, **job.data)
    return found


def _doubtful_handlers(facts: Facts) -> list[Moment]:
    """The events that say in one place only that a handler failed."""
    applied = facts.marks.canary_applied
    return [
        moment
        for moment in facts.moments
        if (moment.source, moment.event) == ("experiment", "handler")
        and moment.data.get("failed") is True
        and (applied is None or moment.time >= applied)
    ]


def nothing_deleted(facts: Facts, _thresholds: Thresholds) -> list[Finding]:
    if not facts.moments and not facts.replaced:
        return []
    gone = facts.marks.deletions
    if facts.replaced and not gone:
        return failed(f"the InferenceService {facts.replaced}")
    if not gone and not facts.by_experiment:
        return passed("the InferenceService was not deleted during the rollout")
    if not gone:
        return passed("neither the Experiment nor the InferenceService was deleted during the rollout")
    names = {"experiment": "Experiment", "inferenceservice": "InferenceService"}
    found = []
    for moment in gone:
        name = names.get(moment.source, moment.source)
        found += failed(f"the {name} was deleted during the rollout, at {utc(moment.time)}", time=moment.time)
    return found


RULES = (
    Rule("run_not_stopped", "The run was not cut short", run_not_stopped),
    Rule("change_happened", "A new revision was rolled out", change_happened),
    Rule("experiment_succeeded", "The Experiment ran to its end", experiment_succeeded),
    Rule("expected_winner", "The expected version won", expected_winner),
    Rule("iterations_done", "Every iteration was done", iterations_done),
    Rule("traffic_moved", "All traffic ended on the expected revision", traffic_moved),
    Rule("ready_at_end", "The InferenceService was ready at the end", ready_at_end),
    Rule("handlers_succeeded", "The Experiment's handlers succeeded", handlers_succeeded),
    Rule("nothing_deleted", "Nothing was deleted during the rollout", nothing_deleted),
)
