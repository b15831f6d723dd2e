# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated rollouts with known truths: how often do the gates decide wrongly, after how many samples?

    make simulations

Each truth is rolled out so many times by the driver's own decisions, against KServe in memory. Beside them
stands a gate as Flagger has it: every minute the success rate and the 95th percentile of the last minute
against fixed thresholds, rolled back after five failed checks, promoted after ten minutes, however few
requests a minute has.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Pods
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.quantiles import estimate
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.plan.turn import Done, Hold
from ansible_collections.iter8.kfserving.tests.support.driven import Driver, Knative, Load, Truth, plan_of

CANARY = "iris-predictor-00002"
LIMIT, QUANTILE, RATIO = 0.01, 0.95, 1.5
GATES = [
    {"type": "losses", "max_rate": LIMIT},
    {"type": "latency", "quantile": QUANTILE, "max_ratio": RATIO},
    {"type": "split"},
    {"type": "pods"},
]
STEPS = [{"percent": percent, "seconds": 10, "deadline": 1200} for percent in (10, 50)]
RATE = 50.0


@dataclass(frozen=True)
class Case:
    """`wrong` is the ending that would be the mistake. The gateway follows `lag` seconds late; everybody is
    slow for the first `congested` seconds."""

    name: str
    truth: Truth
    wrong: str
    lag: float = 0.0
    congested: float = 0.0


CASES = (
    Case("as good as the baseline", Truth(), "rolled_back"),
    Case("as good, the gateway is slow", Truth(), "rolled_back", lag=5.0),
    Case("as good, congested for 200 s", Truth(), "rolled_back", congested=200.0),
    Case("loses 0.2 %, allowed 1 %", Truth(loses=0.002), "rolled_back"),
    Case("loses just what is allowed, 1 %", Truth(loses=0.01), "rolled_back"),
    Case("loses just more, 1.05 %", Truth(loses=0.0105), "promoted"),
    Case("loses 3 %", Truth(loses=0.03), "promoted"),
    Case("loses 10 %", Truth(loses=0.1), "promoted"),
    Case("slower by 1.2, allowed 1.5", Truth(median=0.024), "rolled_back"),
    Case("slower by 1.6", Truth(median=0.032), "promoted"),
    Case("slower by 2", Truth(median=0.04), "promoted"),
    Case("slower by 2, congested for 200 s", Truth(median=0.04), "promoted", congested=200.0),
)


@dataclass
class End:
    """How one rollout ended, after how many seconds and answers of the canary's; `gates` are the samples that
    each gate took until it passed or failed at the first step."""

    outcome: str
    seconds: float
    samples: int
    gates: Mapping[str, int] = field(default_factory=dict)


def ours(case: Case, seed: int) -> End:
    """By the gates of this collection."""
    load = Load({CANARY: case.truth}, RATE, random.Random(seed), lag=case.lag, congested=case.congested)
    cluster = Knative()
    driver = Driver(
        plan_of(gates=GATES, steps=STEPS, deadline=10_000, on_inconclusive="hold"),
        cluster,
        load,
        pods=lambda: Pods(1, 1),
    )
    began = cluster.now
    action = driver.run(seconds=10_000)
    outcome = action.outcome if isinstance(action, Done) else "held" if isinstance(action, Hold) else "open"
    samples = load.counted.get(CANARY, [0])[0]
    told: dict[str, int] = {}
    for entry in driver.state.history:
        if entry["what"] == "gate" and entry["percent"] == STEPS[0]["percent"]:
            told.setdefault(entry["gate"], entry["samples"])
    return End(outcome, cluster.now - began, samples, told)


def fixed_time(case: Case, seed: int, minutes: int = 10, threshold: int = 5) -> End:
    """By checks of the last minute, at 10 % and then at 50 %."""
    rng, base, failed, samples = random.Random(seed), Truth(), 0, 0
    for minute in range(minutes):
        share = 0.1 if minute < minutes / 2 else 0.5
        load = Load({"b": base, "c": case.truth}, RATE, rng)
        load.tick({"b": 1 - share, "c": share}, 60)
        requests, lost, times = load.counted["c"]
        samples += requests
        slow = (estimate(times, QUANTILE) or 0) > RATIO * (estimate(load.counted["b"][2], QUANTILE) or 0)
        if lost / requests > LIMIT or slow:
            failed += 1
        if failed >= threshold:
            return End("rolled_back", 60.0 * (minute + 1), samples)
    return End("promoted", 60.0 * minutes, samples)


def row(case: Case, kind: str, ends: list[End]) -> dict[str, Any]:
    """One line of the table."""
    outcomes = [end.outcome for end in ends]
    decided = [end for end in ends if end.outcome in ("promoted", "rolled_back")]
    return {
        "truth": case.name,
        "gates": kind,
        "rollouts": len(ends),
        **{name: outcomes.count(name) for name in ("promoted", "rolled_back", "held", "open")},
        "wrong": outcomes.count(case.wrong),
        "answers": _median(end.samples for end in decided),
        "seconds": _median(end.seconds for end in decided),
        **{gate: _median(end.gates[gate] for end in ends if gate in end.gates) for gate in CLAIMS},
    }


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(statistics.median(found)) if found else None


def table(rollouts: int, seed: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A line for each truth with these words in its name, and kind of gate."""
    for number, case in enumerate(CASES):
        if only not in case.name:
            continue
        seeds = [seed * 1_000_003 + number * 10_007 + each for each in range(rollouts)]
        yield row(case, "ours", [ours(case, each) for each in seeds])
        if not case.lag and not case.congested:
            yield row(case, "fixed time", [fixed_time(case, each) for each in seeds])


CLAIMS = ("losses", "latency", "split")
HEAD = ("truth", "gates", "promoted", "rolled_back", "held", "wrong", "answers", "seconds", *CLAIMS)


def shown(line: Mapping[str, Any]) -> str:
    """The line as it is printed, and as Markdown has it."""
    first = f"| {line['truth']:31} | {line['gates']:10} "
    rest = "".join(f"| {'-' if line[name] is None else line[name]!s:>11} " for name in HEAD[2:])
    return f"{first}{rest}|"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=200, help="of each truth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="truths with these words in their names")
    options = parser.parse_args()
    print(shown({name: name.replace("_", " ") for name in HEAD}))
    print(f"|{'---|' * len(HEAD)}")
    lines = []
    for line in table(options.rollouts, options.seed, options.only):
        print(shown(line), flush=True)
        lines.append(line)
    wrong = [line for line in lines if line["gates"] == "ours" and line["wrong"] > 0.05 * line["rollouts"]]
    place = Path("build/bench/gates.json")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(
        json.dumps({"rollouts": options.rollouts, "seed": options.seed, "rows": lines}, indent=1) + "\n"
    )
    rate = "within" if not wrong else "ABOVE"
    print(f"simulations: wrong decisions are {rate} the stated 5 % of each truth; {place}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
