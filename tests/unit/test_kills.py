# SPDX-License-Identifier: GPL-3.0-or-later
"""The series of kills: its plan, and what it calls evidence and a false pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

CAMPAIGN = ROOT / "tests/campaign"
sys.path.insert(0, str(CAMPAIGN))

import remains  # noqa: E402
import victims  # noqa: E402
from struck import Struck  # noqa: E402

KILLED = 1000.0


def moments(seed: int, kills: int) -> list[tuple[int, str, float]]:
    return [(kill.number, kill.victim.name, kill.delay) for kill in victims.plan(seed, kills)]


def test_a_seed_gives_the_same_series_again_and_another_another() -> None:
    assert moments(1, 30) == moments(1, 30)
    assert moments(1, 30) != moments(2, 30)
    # A longer series begins as the shorter one.
    assert moments(1, 3) == moments(1, 30)[:3]


def test_a_series_strikes_every_process_in_turn_within_its_life() -> None:
    kills = victims.plan(3, 2 * len(victims.VICTIMS))
    names = [kill.victim.name for kill in kills]
    assert names == 2 * [victim.name for victim in victims.VICTIMS]
    assert len(set(names)) == len(victims.VICTIMS)
    assert all(0 <= kill.delay <= kill.victim.span for kill in kills)
    assert kills[0].delay != kills[len(victims.VICTIMS)].delay


def test_a_short_series_strikes_the_playbook_the_load_and_the_observer() -> None:
    assert [name for _number, name, _delay in moments(1, 3)] == ["playbook", "load", "observer"]


@pytest.mark.parametrize(
    ("reach", "problem"),
    [
        (KILLED + 5, ""),
        (KILLED - 1.0, ""),
        (KILLED - 1.5, "the evidence of the load ends 1.50 s before the kill"),
        (None, "there is no evidence of the load"),
    ],
)
def test_how_far_evidence_must_reach(reach: float | None, problem: str) -> None:
    assert remains.short("load", reach, KILLED) == problem


def loaded(state: str = "stopped", failed: int = 0) -> dict[str, Any]:
    return {"LoadTest": {"state": state, "failed": failed, "ended": KILLED}}


def moment(at: float, event: str, source: str = "playbook") -> dict[str, Any]:
    return {"time": at, "source": source, "event": event, "data": {}}


TIMELINE = [
    moment(900, "canary_applied"),
    moment(950, "traffic", "inferenceservice"),
    moment(960, "load_stopped"),
    moment(970, "stopped", "observer"),
]


def test_up_to_when_there_is_evidence() -> None:
    assert remains.load_reach(None) is None
    assert remains.load_reach(loaded()) == KILLED
    assert remains.observer_reach(None, TIMELINE) is None
    assert remains.observer_reach([{"time": 940.0, "type": "present"}], TIMELINE) == 970
    assert remains.observer_reach([{"time": 980.0, "type": "killed"}], TIMELINE) == 980


PASS = {"verdict": "pass"}


@pytest.mark.parametrize(
    ("verdict", "load", "observations", "timeline", "completed", "why"),
    [
        (PASS, loaded(), [], TIMELINE, True, ""),
        (None, None, None, [], False, ""),
        ({"verdict": "inconclusive"}, None, None, [], False, ""),
        (PASS, loaded(), [], TIMELINE, False, "was stopped"),
        (PASS, None, [], TIMELINE, True, "not there to the end"),
        (PASS, loaded("interrupted"), [], TIMELINE, True, "not there to the end"),
        (PASS, loaded(failed=2), [], TIMELINE, True, "2 lost requests"),
        (PASS, loaded(), None, TIMELINE, True, "nobody saw anything"),
        (PASS, loaded(), [], TIMELINE[2:], True, "nobody saw anything"),
        (PASS, loaded(), [{"type": "killed", "from": 940.0}], TIMELINE, True, "nobody saw 20.00 s"),
        (PASS, loaded(), [{"type": "killed", "from": 965.0}], TIMELINE, True, ""),
        (PASS, loaded(), [{"type": "unobserved", "from": 940.0, "to": 942.5}], TIMELINE, True, "2.50 s"),
        (PASS, loaded(), [{"type": "unobserved", "from": 940.0, "to": 940.9}], TIMELINE, True, ""),
        (PASS, loaded(), [{"type": "unobserved", "from": 800.0, "to": 900.5}], TIMELINE, True, ""),
    ],
)
def test_a_pass_over_what_was_not_observed_is_false(  # noqa: PLR0917
    verdict: Any, load: Any, observations: Any, timeline: Any, completed: bool, why: str
) -> None:
    found = remains.false_pass(verdict, load, observations, timeline, completed)
    assert why in found
    assert bool(why) == bool(found)


def test_half_a_line_and_half_a_file_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "timeline.jsonl"
    assert remains.rows(path) is None
    assert remains.read(path) is None
    path.write_text('{"event": "a"}\n{"eve')
    assert remains.rows(path) == [{"event": "a"}]
    assert remains.read(path) is None


class _Arena:
    """As much of an arena as a run that does not run needs."""

    name = "campaign"

    def __init__(self, folder: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(folder)}


def struck(folder: Path) -> Struck:
    return Struck(_Arena(folder), "kill-load-02", folder)  # type: ignore[arg-type]


def test_the_task_that_a_playbook_has_come_to(tmp_path: Path) -> None:
    one = struck(tmp_path)
    assert one.task() == ""
    (tmp_path / "playbook.log").write_text(
        "TASK [iter8.kfserving.rollout : Start the load] ***\nok: [localhost]\nTASK [Say the verdict] ***\n"
    )
    assert one.task() == "Say the verdict"


def test_what_is_left_of_a_run_is_found_and_what_is_a_bystanders_is_not(tmp_path: Path) -> None:
    one = struck(tmp_path)
    other = one.state / "loads" / "bystander"
    other.mkdir(parents=True)
    assert remains.files_left(one) == []
    assert not one.has_begun()
    (one.state / "loads" / one.job).mkdir()
    (one.state / "runs").mkdir()
    (one.state / "runs" / f"{one.job}.json").touch()
    assert remains.files_left(one) == [f"loads/{one.job}", f"runs/{one.job}.json"]
    assert one.job == "sandbox-campaign-7e26ccf2"
    assert one.has_begun()


def test_nobody_is_found_before_the_run_began(tmp_path: Path) -> None:
    one = struck(tmp_path)
    for kind in ("loads", "observers"):
        assert victims.job_of(kind)(one) == []
    assert victims.VICTIMS[0].find(one) == []
