# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence in, verdict out: pass, fail or inconclusive, with every reason and the figures behind it.

Inconclusive is not a pass: nothing was seen to be lost, but the evidence does not cover the claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import details, runbooks
from .evidence.facts import Evidence, Facts, study
from .messages import count, elapsed, rate_below, utc
from .objects.events import State
from .roles import CANARY
from .rules import driven, gateway, rollout, traffic, watched
from .rules import load as rules_load
from .rules.rule import Finding, Grade, Rule, worst
from .thresholds import Thresholds

SCHEMA = 1  # of verdict.json

# In the order in which a person asks: what was lost, how did it end, who answered, can it be trusted.
RULES: tuple[Rule, ...] = (
    *rules_load.LOST,
    *rollout.RULES,
    *driven.RULES,
    *traffic.RULES,
    *watched.RULES,
    *gateway.RULES,
    *rules_load.TRUST,
)


# An unobserved interval that is worth a line.
_UNOBSERVED_SECONDS = 2.0


@dataclass(frozen=True)
class Claim:
    """A rule that applied, and the worst that it found."""

    rule: Rule
    findings: tuple[Finding, ...]

    @property
    def grade(self) -> Grade:
        """The claim's verdict."""
        return worst([finding.grade for finding in self.findings])


@dataclass(frozen=True)
class Verdict:
    """The verdict. `claims` holds every rule that applied, those that hold included."""

    grade: Grade
    summary: str
    claims: tuple[Claim, ...]
    facts: Facts
    thresholds: Thresholds

    def reasons(self) -> list[tuple[Rule, Finding]]:
        """Everything that speaks against a pass, the worst first, else in the order of the rules."""
        against = [
            (claim.rule, finding)
            for claim in self.claims
            for finding in claim.findings
            if finding.grade is not Grade.PASS
        ]
        return sorted(against, key=lambda pair: pair[1].grade is not Grade.FAIL)

    def as_dict(self) -> dict[str, Any]:
        """As verdict.json has it: plain JSON."""
        load = self.facts.load
        return {
            "schema": SCHEMA,
            "verdict": self.grade.value,
            "summary": self.summary,
            "reasons": [_row(rule, finding) for rule, finding in self.reasons()],
            "runbooks": runbooks.of_reasons(rule.name for rule, _finding in self.reasons()),
            "claims": [
                {"rule": claim.rule.name, "claim": claim.rule.claim, "verdict": claim.grade.value}
                | {"findings": [_row(claim.rule, finding) for finding in claim.findings]}
                for claim in self.claims
            ],
            "requests": load.requests if load else 0,
            "failed": load.failed if load else 0,
            "loss_rate_upper_bound_95": rules_load.bound_of(load) if load else 1.0,
            "longest_success_gap_seconds": load.gap.seconds if load else None,
            "revisions": _revisions(self.facts),
            "phases": [
                {
                    "name": counted.phase.name,
                    "start": counted.phase.start,
                    "end": counted.phase.end,
                    "requests": counted.requests,
                    "failed": counted.failed,
                    "weights": dict(counted.phase.weights),
                }
                for counted in self.facts.phases
            ],
            "classes": dict(load.classes) if load else {},
            "failures": details.failures(self.facts),
            "connection_modes": details.connection_modes(self.facts),
            "payloads": details.payloads(self.facts),
            "streamed": details.streamed(self.facts),
            "outages": details.outages(self.facts),
            "causes": [dict(cause) for cause in self.facts.causes],
            "generator": details.generator(self.facts),
            "named_by": self.facts.named_by if self.facts.names_tell else None,
            "gateway": details.gateway(self.facts),
            "objectives": [objective.as_dict() for objective in self.facts.objectives],
            "driver": dict(self.facts.driver) or None,
            "thresholds": self.thresholds.as_dict(),
            "not_covered": not_covered(self.facts),
        }


def decide(evidence: Evidence, thresholds: Thresholds | None = None) -> Verdict:
    """The verdict on a rollout.

    Fail where anything was lost or the rollout did not end as expected; else inconclusive where any rule
    could not be borne out; else pass.
    """
    thresholds = thresholds or Thresholds()
    facts = study(evidence)
    # A run that changed nothing is no rollout, and nothing can be said of one.
    rules = tuple(r for r in RULES if r.check is rollout.run_not_stopped or not facts.marks.changed_nothing)
    claims = tuple(
        Claim(rule, tuple(findings)) for rule in rules if (findings := rule.check(facts, thresholds))
    )
    grade = worst([claim.grade for claim in claims])
    return Verdict(grade, _summary(grade, facts, claims), claims, facts, thresholds)


def _row(rule: Rule, finding: Finding) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "verdict": finding.grade.value,
        "text": finding.text,
        "figures": finding.figures,
    }


def _revisions(facts: Facts) -> dict[str, dict[str, Any]]:
    rows: Mapping[str, tuple[int, int]] = facts.load.revisions if facts.load else {}
    names = dict.fromkeys([*filter(None, (facts.baseline, facts.canary)), *rows])
    return {
        name: {
            "requests": rows.get(name, (0, 0))[0],
            "failed": rows.get(name, (0, 0))[1],
            "role": facts.roles.get(name, "other"),
        }
        for name in names
    }


def _summary(grade: Grade, facts: Facts, claims: tuple[Claim, ...]) -> str:
    """One line for people: the requests, the gap, how it ended, and what is missing where something is."""
    if facts.marks.changed_nothing:
        return "; ".join(finding.text for claim in claims for finding in claim.findings)
    parts = [*_load_clauses(facts), *_end_clauses(facts)]
    if grade is Grade.INCONCLUSIVE:
        texts = [f.text for claim in claims for f in claim.findings if f.grade is Grade.INCONCLUSIVE]
        more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
        parts.append(f"but {texts[0]}{more}" if texts else "but there is no evidence")
    return "; ".join(parts)


def _load_clauses(facts: Facts) -> list[str]:
    load = facts.load
    if load is None:
        return ["no load test"]
    lost = load.failed - load.client_faults
    losses = f"{lost} lost" if lost else "none lost"
    if lost:
        named = Counter(
            row.revision for row in load.ledger if row.revision and row.kind != rules_load.CLIENT
        ).most_common(1)
        for name, n in named:
            losses += f" by {facts.name_of(name)}" if n == lost else f", {n} of them by {facts.name_of(name)}"
    bound = f"loss rate below {rate_below(rules_load.bound_of(load))} with 95 % confidence"
    gap = f"longest gap between successes {elapsed(load.gap.seconds)}"
    if len(load.gaps) > 1:
        apart = ", ".join(f"{elapsed(one.seconds)} on {mode}" for mode, one in load.gaps.items())
        gap += f" ({apart} connections)"
    return [f"{count(load.requests, 'request')}, {losses} ({bound})", gap]


def _end_clauses(facts: Facts) -> list[str]:
    outcome = facts.experiment
    if outcome is None:
        return _end_of_others(facts)
    after = f"after {count(outcome.iterations, 'iteration')}"
    if rollout.end_untold(facts):
        return ["the Experiment does not tell whether it ended"]
    if outcome.state is State.PENDING:
        return [f"the Experiment did not end {after}"]
    missed = [
        objective.text for objective in facts.objectives if objective.role == CANARY and not objective.met
    ]
    why = f": {missed[0]}" if missed else ""
    if outcome.state is State.FAILED:
        return [f"{outcome.message or outcome.reason} {after}{why}"]
    if facts.service is not None and facts.canary and facts.service.traffic == {facts.canary: 100}:
        return [f"canary promoted {after}"]
    return [
        f"canary rolled back {after}{why}" if outcome.winner != CANARY else f"canary not promoted {after}"
    ]


def _end_of_others(facts: Facts) -> list[str]:
    """How a rollout without an Experiment ended."""
    done = facts.marks.completion
    if facts.by_experiment or done is None:
        return []
    return ["canary promoted" if done.winner == CANARY else "canary rolled back"]


def not_covered(facts: Facts) -> list[str]:
    """What the result does not tell, whatever the verdict."""
    load = facts.load
    if load is None:
        return ["Without a load test nothing is known about lost requests."]
    found = [
        f"Loss rates below {rate_below(rules_load.bound_of(load))} are not excluded, "
        "and the bound takes losses as independent.",
        "Only this generator's requests are counted, from where it ran; other clients may fare otherwise.",
    ]
    if load.asked_rate > 0:
        interval = elapsed(1 / load.asked_rate)
        message = f"An outage shorter than the {interval} between two requests may have passed unseen"
        if len(load.gaps) > 1:
            alone = elapsed(1 / min(load.rate_of(mode) for mode in load.gaps))
            message += f"; on new or on keep-alive connections alone, one shorter than {alone}"
        found.append(f"{message}.")
    for mode in ("new", "keep-alive"):
        if mode not in load.connection_modes or not load.connection_modes[mode].requests:
            found.append(f"No request was sent on a {mode} connection.")
    silent = load.ok - sum(load.streamed.begun.values()) if load.streamed else 0
    if silent > 0:
        found.append(f"{count(silent, 'stream')} ended as it should without a token, which may be an answer.")
    if load.ledger_dropped:
        found.append(f"{count(load.ledger_dropped, 'failure')} were counted without a record of their own.")
    for part in facts.marks.unobserved_until(load.ended):
        if part.seconds >= _UNOBSERVED_SECONDS:
            times = f"from {utc(part.begin)} to {utc(part.end)}"
            found.append(f"Nothing watched the traffic {times}, so weights and phases are not exact there.")
    if facts.naming.proof:
        found.append(facts.naming.proof)
    if not facts.marks.traffic:
        found.append("The timeline tells no traffic split, so who should have answered is not known.")
    return found
