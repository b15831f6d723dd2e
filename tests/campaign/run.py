# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault campaign: real faults in real rollouts on sandboxes; is each verdict, and its reason, right?

usage: run.py [--only NAME]… [--seeds N] [--first-seed N] [--sandboxes N] [--list] [--out FILE]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import judging
from arena import ROOT
from campaign import Campaign
from catalogue import FAULTS
from fault import Fault


def chosen(names: list[str]) -> list[Fault]:
    """The faults of these names, all without any. Exits where there is none of a name."""
    known = {fault.name: fault for fault in FAULTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"There is no fault {unknown[0]}; there are {', '.join(known)}.")
    return [known[name] for name in names] if names else list(FAULTS)


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    number = {"type": positive, "metavar": "N"}
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; may be repeated"
    )
    parser.add_argument("--seeds", default=3, help="runs of each fault (3)", **number)
    parser.add_argument("--first-seed", default=1, help="begin with this seed (1)", **number)
    parser.add_argument("--sandboxes", default=2, help="so many side by side (2)", **number)
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.add_argument("--out", type=Path, default=ROOT / "build/campaign/campaign.json", metavar="FILE")
    return parser


def show(faults: list[Fault]) -> None:
    """The faults, one a line."""
    # Whoever reads it may have seen enough: then this ends without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    width = max(len(fault.name) for fault in faults)
    for fault in faults:
        print(f"{fault.name:{width}}  {fault.expected.verdict:12}  {fault.summary}")


def main() -> int:
    """Run the campaign and print its table."""
    options = arguments().parse_args()
    faults = chosen(options.only)
    if options.list:
        show(faults)
        return 0
    # So that the sandboxes are removed then, too.
    signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))
    folder = options.out.absolute().parent
    shutil.rmtree(folder / "runs", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    campaign = Campaign(faults, seeds, folder, options.out)
    began = time.monotonic()
    campaign.work(options.sandboxes)
    print(f"\n{judging.table(campaign.rows)}")
    minutes = (time.monotonic() - began) / 60
    wrong = sum(row.outcome != judging.OK for row in campaign.rows)
    print(
        f"campaign: {len(campaign.rows)} runs of {len(faults)} faults and variations in {minutes:.0f} min, "
        f"{wrong} not as they should be"
    )
    return judging.exit_code(campaign.rows)


if __name__ == "__main__":
    sys.exit(main())
