# SPDX-License-Identifier: GPL-3.0-or-later
"""All gates of a step, with what each has used up of its permitted error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .claims import GateClaim, SplitClaim
from .looks import Looks
from .other import Measured, Pods, PodsGate, Query, QueryGate, judge_pods, judge_query
from .result import GateResult, GateVerdict
from .window import Skipped, Window

# From this many samples on a claim may be refuted: two failures of the first sixteen can show something.
FIRST_REFUTATION = 16
_NOT_YET = "; the gateway has not followed yet"


@dataclass(frozen=True)
class ErrorRates:
    """The probabilities of a wrong decision that are permitted to a whole rollout."""

    wrong_promotion: float = 0.05
    wrong_rollback: float = 0.05


@dataclass(frozen=True)
class GateProgress:
    """What one gate has come to within a step. `confirming` and `refuting` are the looks at its claim;
    `good` and `bad` count looks in a row of a query; `last` is what it said last. `skipped` are the answers
    of this step that a split leaves out, since the gateway had not followed yet."""

    confirming: Looks | None = None
    refuting: Looks | None = None
    passed: bool = False
    good: int = 0
    bad: int = 0
    at: float = 0.0
    last: GateResult | None = None
    skipped: Skipped = (0, 0)

    def to_json(self) -> dict[str, Any]:
        """As the state keeps it."""
        return {
            "confirming": self.confirming.to_json() if self.confirming else None,
            "refuting": self.refuting.to_json() if self.refuting else None,
            "passed": self.passed,
            "good": self.good,
            "bad": self.bad,
            "at": self.at,
            "last": self.last.to_json() if self.last else None,
            "skipped": list(self.skipped),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateProgress:
        """The reverse of `to_json`."""
        last, (canary, baseline) = data.get("last"), data["skipped"]
        return cls(
            confirming=Looks.from_json(data["confirming"]) if data.get("confirming") else None,
            refuting=Looks.from_json(data["refuting"]) if data.get("refuting") else None,
            passed=bool(data["passed"]),
            good=int(data["good"]),
            bad=int(data["bad"]),
            at=float(data["at"]),
            last=GateResult(**{**last, "verdict": GateVerdict(last["verdict"])}) if last else None,
            skipped=(int(canary), int(baseline)),
        )


@dataclass(frozen=True)
class Errors:
    """What each look may cost: `confirming` and `refuting` are one gate's, at one step, for all its looks."""

    confirming: float
    refuting: float


def share_of(rates: ErrorRates, claims: int, steps: int) -> Errors:
    """A bad canary is promoted only if the gate that it breaks passes it at every step, so each gate may have
    the whole permitted error. A good one is rolled back if any gate at any step refutes it: they share."""
    return Errors(rates.wrong_promotion, rates.wrong_rollback / max(1, claims * steps))


@dataclass(frozen=True)
class GateEvidence:
    """What there is to judge by, now: requests, pods, and the answers to queries by the gate's name.
    `last_chance` is whether the step's deadline has passed."""

    now: float
    window: Window | None
    pods: Pods = Pods()
    measured: Mapping[str, Measured] = field(default_factory=dict)
    last_chance: bool = False


def judge(
    gates: Sequence[Any],
    before: Mapping[str, GateProgress],
    percent: int,
    evidence: GateEvidence,
    errors: Errors,
) -> dict[str, GateProgress]:
    """Each gate's progress with this evidence added, by its name; `last` is what it says now."""
    after = {}
    for gate in gates:
        progress = before.get(gate.name, GateProgress())
        if isinstance(gate, PodsGate):
            after[gate.name] = replace(progress, last=judge_pods(gate, evidence.pods))
        elif isinstance(gate, QueryGate):
            after[gate.name] = _with_query(gate, progress, percent, evidence.measured.get(gate.name))
        else:
            after[gate.name] = _with_claim(gate, progress, percent, evidence, errors)
    return after


def _with_query(
    gate: QueryGate, before: GateProgress, percent: int, measured: Measured | None
) -> GateProgress:
    query = Query(before.good, before.bad)
    after, result = judge_query(gate, query, percent, measured, before.last)
    return replace(before, good=after.good, bad=after.bad, last=result)


def _with_claim(
    claim: GateClaim, before: GateProgress, percent: int, evidence: GateEvidence, errors: Errors
) -> GateProgress:
    if not claim.applies(percent):
        result = GateResult(
            claim.name, GateVerdict.NOT_APPLICABLE, f"cannot be asked with the canary at {percent} %"
        )
        return replace(before, last=result)
    if before.last is not None and before.last.verdict is GateVerdict.FAIL:
        return before
    confirming = before.confirming or first_confirmation(claim, percent, errors)
    refuting = before.refuting or Looks(0, FIRST_REFUTATION)
    if evidence.window is None:
        return replace(
            before,
            confirming=confirming,
            refuting=refuting,
            passed=False,
            last=GateResult(
                claim.name, GateVerdict.INCONCLUSIVE, "no load tells of this step", 0, confirming.due
            ),
        )
    window = evidence.window.without(before.skipped) if isinstance(claim, SplitClaim) else evidence.window
    samples = claim.samples(window)
    failed, passed, shown = False, before.passed, 0.0
    if refuting.is_due(samples):
        shown = refuting.doubt(errors.refuting)
        failed = claim.refuted(window, shown)
        refuting = refuting.after(samples)
    if confirming.is_due(samples) and not passed:
        doubt = confirming.doubt(errors.confirming)
        passed = claim.confirmed(window, doubt)
        confirming = confirming.after(samples)
        # The interval that is told is that of the look which says something.
        shown = shown if failed else doubt
    verdict = GateVerdict.FAIL if failed else GateVerdict.PASS if passed else GateVerdict.INCONCLUSIVE
    if shown or before.last is None or before.last.verdict is GateVerdict.NOT_APPLICABLE:
        clause, value, low, high = claim.estimate(window, shown or errors.confirming)
        result = GateResult(claim.name, verdict, clause, samples, confirming.due, value, low, high)
    else:
        # Between looks nothing new is said, but how many samples there are.
        result = replace(before.last, verdict=verdict, samples=samples, needed=confirming.due)
    after = replace(before, confirming=confirming, refuting=refuting, passed=passed, last=result)
    return (
        _patiently(claim, after, evidence, errors) if isinstance(claim, SplitClaim) and not passed else after
    )


def _patiently(
    claim: SplitClaim, judged: GateProgress, evidence: GateEvidence, errors: Errors
) -> GateProgress:
    """A split that is refuted before it was ever shown in this step is one that the gateway has not followed
    yet: its samples begin anew, and the looks that were spent stay spent. At the step's deadline the gateway
    has not followed at all, unless what came since the last refutation looks right: that takes more samples.
    """
    last, window = judged.last, evidence.window
    if last is None or window is None:
        return judged
    if evidence.last_chance:
        present = window.without(judged.skipped)
        unlikely = claim.samples(present) < FIRST_REFUTATION or not claim.likely(present)
        missed = last.verdict is GateVerdict.FAIL or (judged.skipped != (0, 0) and unlikely)
        if not missed:
            return judged
        message = f"{last.message.removesuffix(_NOT_YET)}; the gateway has not followed by the deadline"
        return replace(judged, last=replace(last, verdict=GateVerdict.FAIL, message=message))
    if last.verdict is not GateVerdict.FAIL:
        return judged
    return replace(
        _anew(claim, judged, window.percent, errors),
        last=replace(last, verdict=GateVerdict.INCONCLUSIVE, message=last.message + _NOT_YET),
        skipped=(window.canary.requests, window.baseline.requests),
    )


def first_confirmation(claim: GateClaim, percent: int, errors: Errors) -> Looks:
    """The first look that can confirm: with fewer samples even perfect ones would not do."""
    return Looks(0, claim.least(percent, Looks(0, 0).doubt(errors.confirming)))


def begin_anew(
    progress: Mapping[str, GateProgress], gates: Sequence[Any], percent: int, errors: Errors
) -> dict[str, GateProgress]:
    """For samples that begin anew within a step, as with another load: looks that were spent stay spent."""
    after = {}
    for gate in gates:
        one = progress.get(gate.name)
        if one is not None and one.confirming is not None:
            after[gate.name] = replace(_anew(gate, one, percent, errors), skipped=(0, 0))
    return after


def _anew(claim: GateClaim, one: GateProgress, percent: int, errors: Errors) -> GateProgress:
    confirming, refuting = one.confirming, one.refuting
    if confirming is None or refuting is None:
        return one
    return replace(
        one,
        passed=False,
        confirming=confirming.again(claim.least(percent, confirming.doubt(errors.confirming))),
        refuting=refuting.again(FIRST_REFUTATION),
    )


def seconds_needed(gates: Sequence[Any], percent: int, rate: float, errors: Errors) -> tuple[float, str]:
    """How long a step takes at least at this many requests a second, and the gate that takes longest.

    Infinite without a load, where a gate needs one.
    """
    longest, slowest = 0.0, ""
    for gate in gates:
        if isinstance(gate, PodsGate):
            continue
        if isinstance(gate, QueryGate):
            seconds = gate.interval * max(0, gate.successes - 1)
        elif not gate.applies(percent):
            continue
        else:
            due = first_confirmation(gate, percent, errors).due
            seconds = due / (rate * gate.share(percent)) if rate > 0 else math.inf
        if seconds > longest:
            longest, slowest = seconds, gate.name
    return longest, slowest
