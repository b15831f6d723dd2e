# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of rollouts on one sandbox beside one after another: how long, and is each verdict right?

    .venv/bin/python tests/bench/rollouts.py --rollouts 20 --faults 3 --alone 3

The canary of each fault answers 500 to three requests of ten. `--alone` rollouts run one after another by
rollout.yml, each on a model of its own; the time of all that way is derived from their mean. With as many as
there are rollouts it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.playbooks import Playbooks
from ansible_collections.iter8.kfserving.tests.support.several import Several

SECONDS = 3600.0


@dataclass
class Timed:
    """A playbook that ran: wall clock and CPU of it and of all that it waited for, in seconds."""

    seconds: float
    cpu: float
    output: str

    def shown(self) -> dict[str, float]:
        return {"seconds": round(self.seconds, 1), "cpu_seconds": round(self.cpu, 1)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(user: Playbooks, playbook: str, *arguments: str) -> Timed:
    """Run it, whatever its exit status."""
    began, before = time.monotonic(), _cpu()
    run = user.run(playbook, *arguments, timeout=SECONDS)
    return Timed(time.monotonic() - began, _cpu() - before, run.stdout)


def expected(several: Several) -> dict[str, str]:
    """The right verdict on each."""
    return {name: "fail" if name in several.faulty else "pass" for name in several.names}


def at_once(user: Playbooks, several: Several, parallel: int) -> tuple[Timed, dict[str, dict[str, Any]]]:
    """All of them by one list, so many at a time; what was judged of each."""
    timing = timed(user, "rollouts", "--forks", str(parallel), "-e", f"@{several.list_file()}")
    try:
        summary = user.artifact("summary.json")
    except FileNotFoundError:
        sys.exit(f"The rollouts came to no summary:\n{timing.output[-5000:]}")
    return timing, {each["name"]: each for each in summary["rollouts"]}


def alone(user: Playbooks, several: Several) -> tuple[list[Timed], dict[str, str]]:
    """Each of these by itself, one after another."""
    found, verdicts = [], {}
    for name in several.names:
        item = several.item(name)
        item.pop("name")
        found.append(timed(user, "rollout", "-e", json.dumps(item)))
        verdicts[name] = str(user.artifact("verdict.json")["verdict"])
    return found, verdicts


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both ways, each on models that nobody has rolled out before."""
    name = f"bench-{os.getpid()}"
    extra = ["-e", f"iter8_kfserving_sandbox={name}", "-e", "iter8_kfserving_platform=kserve"]
    user = Playbooks(folder, extra)
    kubeconfig = user.state / f"iter8-kfserving/sandboxes/{name}/kubeconfig"
    before = os.getloadavg()
    try:
        ready = user.run("deploy", timeout=SECONDS)
        if ready.returncode:
            sys.exit(f"The sandbox did not come up:\n{ready.stdout[-5000:]}")
        # Those at the end of the list: whoever begins last has the most company.
        last = [
            f"m{number:02d}" for number in range(options.rollouts - options.faults + 1, options.rollouts + 1)
        ]
        limit, rate = options.deadline, options.rate
        many = Several(kubeconfig, folder, options.rollouts, last, options.driver, "m", limit, rate)
        singles = Several(kubeconfig, folder, options.alone, (), options.driver, "s", limit, rate)
        singles.deploy()
        lone, lone_verdicts = alone(user, singles)
        many.deploy()
        together, judged = at_once(user, many, options.parallel)
    finally:
        user.clean_up()
    mean = statistics.mean(each.seconds for each in lone)
    wrong = {
        name: {"expected": right, **judged[name]}
        for name, right in expected(many).items()
        if judged[name]["verdict"] != right
    }
    return {
        "rollouts": options.rollouts,
        "faults": options.faults,
        "driver": options.driver,
        "deadline": options.deadline,
        "parallel": options.parallel,
        "rate": options.rate,
        "cores": os.cpu_count(),
        "load_average": {"before": before, "after": os.getloadavg()},
        "alone": [each.shown() for each in lone],
        "alone_verdicts": lone_verdicts,
        "one_after_another_seconds": round(mean * options.rollouts, 1),
        "one_after_another": "measured"
        if options.alone == options.rollouts
        else f"derived from {options.alone}",
        "at_once": together.shown(),
        "ratio": round(together.seconds / (mean * options.rollouts), 3),
        "wrong": wrong,
        "requests": sum(each["requests"] or 0 for each in judged.values()),
        "failed": {name: each["failed"] for name, each in judged.items() if each["failed"]},
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=20, help="so many at once (20)")
    parser.add_argument("--faults", type=int, default=3, help="so many of them with a fault (3)")
    parser.add_argument("--alone", type=int, default=3, help="so many one after another (3)")
    parser.add_argument("--driver", choices=["progressive", "observe"], default="progressive")
    # Gateway, model and generator take 0.09 of a core for 20 requests a second, and ansible-playbook 40 s of
    # one for each rollout: where all twenty begin and send 20 at once, two cores lose requests in truth.
    parser.add_argument("--parallel", type=int, default=10, help="so many under way at a time (10)")
    parser.add_argument("--rate", type=float, default=10, help="requests a second of each (10)")
    # Where models, load and rollouts share two cores the latency gate needs many more answers.
    parser.add_argument("--deadline", type=int, default=1800, help="seconds that each may take (1800)")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/rollouts.json", metavar="FILE")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rollouts-"))
    try:
        found = measured(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    print(
        f"rollouts: {found['rollouts']}, {found['parallel']} at a time, took "
        f"{found['at_once']['seconds']:.0f} s, one after another "
        f"{found['one_after_another_seconds']:.0f} s ({found['one_after_another']}): "
        f"{found['ratio']:.2f} of it; {len(found['wrong'])} verdicts wrong"
    )
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
