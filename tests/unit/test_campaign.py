# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign's own judgement: what it calls right, wrong, and an error."""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

CAMPAIGN = ROOT / "tests/campaign"
sys.path.insert(0, str(CAMPAIGN))

import campaign  # noqa: E402
import catalogue  # noqa: E402
import connections  # noqa: E402
import control  # noqa: E402
import evidence  # noqa: E402
import judging  # noqa: E402
import run  # noqa: E402
from ansible_collections.iter8.kfserving.plugins.module_utils._load import errors  # noqa: E402
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import verdict as verdicts  # noqa: E402
from arena import until  # noqa: E402
from course import Course, NoEffect, name_of  # noqa: E402


def said(verdict: str, *reasons: tuple[str, str]) -> dict[str, Any]:
    return {"verdict": verdict, "reasons": [{"rule": rule, "verdict": grade} for rule, grade in reasons]}


EXPECTED = judging.expect("fail", "nothing_lost", also=("gap_short",))
UNSEEN = judging.expect("inconclusive", "watched_throughout", or_pass=True)


@pytest.mark.parametrize(
    ("expected", "verdict", "problem"),
    [
        (judging.PASS, said("pass"), ""),
        (UNSEEN, said("pass"), ""),
        (UNSEEN, said("inconclusive", ("watched_throughout", "inconclusive")), ""),
        (UNSEEN, said("inconclusive"), "no reason of rule watched_throughout"),
        (
            UNSEEN,
            said("fail", ("watched_throughout", "inconclusive")),
            "the verdict is fail, where inconclusive was expected",
        ),
        (EXPECTED, said("fail", ("nothing_lost", "fail")), ""),
        (EXPECTED, said("fail", ("nothing_lost", "fail"), ("gap_short", "inconclusive")), ""),
        (
            judging.PASS,
            said("fail", ("nothing_lost", "fail")),
            "the verdict is fail, where pass was expected",
        ),
        (EXPECTED, said("pass"), "the verdict is pass, where fail was expected"),
        (EXPECTED, said("fail", ("gap_short", "fail")), "no reason of rule nothing_lost"),
        (
            EXPECTED,
            said("fail", ("gap_short", "fail"), ("nothing_lost", "inconclusive")),
            "no reason of rule nothing_lost",
        ),
        (
            EXPECTED,
            said("fail", ("nothing_lost", "fail"), ("traffic_moved", "fail")),
            "a reason that does not belong: traffic_moved",
        ),
        (EXPECTED, {}, "the verdict is None, where fail was expected"),
    ],
)
def test_problem(expected: judging.Expectation, verdict: dict[str, Any], problem: str) -> None:
    assert judging.problem(expected, verdict) == problem


CANARY, BASELINE = "m-canary", "m-baseline"


def lossy(classes: list[str], by: list[str], phases: list[str], text: str = "lost") -> dict[str, Any]:
    """A verdict of fail because of lost requests."""
    figures = {"classes": dict.fromkeys(classes, 1), "revisions": dict.fromkeys(by, 1)}
    figures["phases"] = dict.fromkeys(phases, 1)
    reason = {"rule": "nothing_lost", "verdict": "fail", "text": text, "figures": figures}
    revisions = {CANARY: {"role": "canary"}, BASELINE: {"role": "baseline"}}
    return {"verdict": "fail", "reasons": [reason], "revisions": revisions}


RESETS = judging.expect(
    "fail",
    lost=judging.losses("reset", also=["truncated"], by=["nobody"], also_by=["baseline"], phase="promotion"),
)


@pytest.mark.parametrize(
    ("classes", "by", "phases", "problem"),
    [
        (["reset"], [""], ["promotion"], ""),
        (["reset", "truncated"], ["", BASELINE], ["after", "promotion"], ""),
        (["truncated"], [""], ["promotion"], "nothing was lost as reset"),
        (["reset", "status 503"], [""], ["promotion"], "requests were lost as status 503"),
        (["reset"], [BASELINE], ["promotion"], "nothing was lost by nobody"),
        (["reset"], ["", CANARY], ["promotion"], "requests were lost by canary"),
        (["reset"], ["", "m-other"], ["promotion"], "requests were lost by m-other"),
        (["reset"], [""], ["after"], "nothing was lost in the phase 'promotion'"),
    ],
)
def test_how_requests_were_lost(classes: list[str], by: list[str], phases: list[str], problem: str) -> None:
    assert judging.problem(RESETS, lossy(classes, by, phases)) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"100 % on the baseline {BASELINE}, not as expected", ""),
        (
            f"100 % on the baseline {CANARY}",
            f"no reason of rule nothing_lost says 'on the baseline {BASELINE}'",
        ),
    ],
)
def test_what_a_reason_says(text: str, problem: str) -> None:
    expected = judging.expect("fail", says={"nothing_lost": "on the baseline {baseline}"})
    assert judging.problem(expected, lossy([], [], [], text)) == problem


def caused(*around: tuple[str, str]) -> dict[str, Any]:
    """A verdict of lost requests with what happened around them, as kinds and revisions."""
    told = [{"kind": kind, "revision": revision} for kind, revision in around]
    return {**lossy([], [], []), "causes": [{"around": []}, {"around": told}]}


@pytest.mark.parametrize(
    ("verdict", "problem"),
    [
        (lossy([], [], []), ""),
        (caused(("restarted", CANARY)), ""),
        (caused(("traffic", ""), ("unready", CANARY)), ""),
        (caused(), "nothing of restarted, unready is told of the canary around its losses"),
        (
            caused(("restarted", BASELINE), ("traffic", "")),
            "nothing of restarted, unready is told of the canary around its losses",
        ),
        (
            caused(("gone", CANARY)),
            "nothing of restarted, unready is told of the canary around its losses; gone is",
        ),
    ],
)
def test_the_traces_of_a_fault_must_be_told(verdict: dict[str, Any], problem: str) -> None:
    expected = judging.expect("fail", "nothing_lost", traces={"canary": ["restarted", "unready"]})
    assert judging.problem(expected, verdict) == problem


def test_an_expectation_in_short() -> None:
    assert str(RESETS) == "fail (nothing_lost: reset)"
    assert str(judging.PASS) == "pass"
    assert str(UNSEEN) == "inconclusive (watched_throughout) or pass"
    assert str(judging.expect("fail", "b", says={"a": "x"}, also=["c"])) == "fail (a; b)"


def row(outcome: str, detail: str = "") -> judging.Row:
    return judging.Row("a-fault", 2, "a signal", "pass", "pass ()", outcome, detail, 12.3)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 1),
        ([judging.OK], 0),
        ([judging.OK, judging.WRONG], 1),
        ([judging.ERROR, judging.OK], 1),
    ],
)
def test_exit_code(outcomes: list[str], code: int) -> None:
    assert judging.exit_code([row(outcome) for outcome in outcomes]) == code


def test_table_has_the_evidence_and_what_is_wrong() -> None:
    text = judging.table([row(judging.OK), row(judging.WRONG, "the verdict is pass")])
    assert text.splitlines() == [
        "fault    seed  expected  said     outcome  s",
        "a-fault  2     pass      pass ()  ok       12",
        "    injected: a signal",
        "a-fault  2     pass      pass ()  WRONG    12",
        "    injected: a signal",
        "    WRONG: the verdict is pass",
    ]


def test_reasons_are_told_once() -> None:
    found = said("fail", ("traffic_moved", "fail"), ("gap_short", "fail"), ("traffic_moved", "fail"))
    assert judging.reasons_of(found) == "traffic_moved; gap_short"
    assert judging.reasons_of(lossy(["reset", "status 503"], [], [])) == "nothing_lost: reset, status 503"


LABELS = {*(name for name in errors.CLASSES if name != errors.STATUS)} | {
    f"{errors.STATUS} {status}" for status in (404, 500, 503)
}


def test_the_campaign_is_as_large_as_it_is_to_be() -> None:
    harmless = [f for f in catalogue.FAULTS if f.expected == judging.PASS or f.expected.or_pass]
    assert len(harmless) >= 6
    assert len(catalogue.FAULTS) - len(harmless) >= 24


def test_every_fault_expects_rules_that_there_are() -> None:
    rules = {rule.name for rule in verdicts.RULES}
    for fault in catalogue.FAULTS:
        lost = fault.expected.lost
        assert lost is None or lost.classes <= LABELS, fault.name
        assert lost is None or lost.by | lost.also_by <= {"canary", "baseline", "nobody"}, fault.name
        assert fault.expected.rules | fault.expected.also <= rules, fault.name
        # A fault that may end in any reason proves nothing.
        assert (fault.expected == judging.PASS) == (not fault.expected.rules), fault.name


def test_names_are_unique_and_fit_into_a_label() -> None:
    names = [name_of(fault.name, 999) for fault in catalogue.FAULTS]
    assert len(set(names)) == len(names)
    assert max(len(f"finish-handler-{name}-0123456789ab") for name in names) <= 63


def course(seed: int, folder: Path) -> Course:
    return Course(None, "a-fault", seed, folder, {})  # type: ignore[arg-type]


def test_a_seed_gives_the_same_run_again_and_another_another(tmp_path: Path) -> None:
    numbers = [course(seed, tmp_path).random.random() for seed in (1, 1, 2)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_a_strike_that_was_not_carried_out_is_no_evidence(tmp_path: Path) -> None:
    one = course(1, tmp_path)
    with pytest.raises(NoEffect):
        evidence.noted(one)
    one.notes["done"] = "it was"
    assert evidence.noted(one) == "it was"


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    one = course(1, tmp_path)
    assert one.timeline() == []
    one.artifacts.mkdir()
    (one.artifacts / "timeline.jsonl").write_text('{"event": "a"}\n{"eve')
    assert one.timeline() == [{"event": "a"}]


def test_the_list_ends_without_a_word_when_its_reader_has_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, str(CAMPAIGN / "run.py"), "--list"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.stderr == b""


@pytest.mark.parametrize("argument", ["--seeds=0", "--first-seed=-1", "--sandboxes=x"])
def test_numbers_that_are_none_are_refused(argument: str) -> None:
    with pytest.raises(SystemExit):
        run.arguments().parse_args([argument])


def test_a_reset_reaches_the_client_and_what_was_not_read_is_gone() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        served, _unused = server.accept()
        with served:
            client.settimeout(5)
            client.sendall(b"a request")
            assert connections.unread(served) == len(b"a request")
            assert connections.reset(served)
            with pytest.raises(ConnectionResetError):
                client.recv(1)


class Sandboxes:
    """Stands for Arena: counts what is up."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.ups = self.downs = 0

    def __call__(self, _folder: Path, _say: Any) -> Sandboxes:
        return self

    def up(self) -> None:
        self.ups += 1
        if self.broken:
            raise RuntimeError("it does not come up")

    def down(self) -> None:
        self.downs += 1


def planned(folder: Path) -> campaign.Campaign:
    return campaign.Campaign(catalogue.FAULTS[:2], (4, 5), folder, folder / "campaign.json")


def test_a_campaign_does_its_plan_on_all_sandboxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sandboxes = Sandboxes()
    monkeypatch.setattr(campaign, "Arena", sandboxes)
    monkeypatch.setattr(
        campaign,
        "run",
        lambda one, fault: judging.Row(fault.name, one.seed, "", "", "", judging.OK, "", 1.0),
    )
    whole = planned(tmp_path)
    whole.work(2)
    first, second = (fault.name for fault in catalogue.FAULTS[:2])
    assert [(row.fault, row.seed) for row in whole.rows] == [(first, 4), (first, 5), (second, 4), (second, 5)]
    assert len(json.loads((tmp_path / "campaign.json").read_text())["runs"]) == 4
    assert f"campaign: run 3 of 4: {first}, seed 5\n" in capsys.readouterr().out
    assert (sandboxes.ups, sandboxes.downs) == (2, 2)


def test_a_sandbox_that_does_not_come_up_ends_the_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandboxes = Sandboxes(broken=True)
    monkeypatch.setattr(campaign, "Arena", sandboxes)
    whole = planned(tmp_path)
    with pytest.raises(RuntimeError):
        whole.work(1)
    assert (whole.rows, sandboxes.downs) == ([], 1)


def test_a_signal_ends_the_runs_and_then_the_sandboxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandboxes, killed = Sandboxes(), threading.Event()

    def under_way(one: Course, fault: Any) -> judging.Row:
        monkeypatch.setattr(one, "kill", killed.set)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert killed.wait(10)
        return judging.Row(fault.name, one.seed, "", "", "", judging.OK, "", 1.0)

    monkeypatch.setattr(campaign, "Arena", sandboxes)
    monkeypatch.setattr(campaign, "run", under_way)
    before = signal.signal(signal.SIGUSR1, lambda *_unused: sys.exit(143))
    try:
        with pytest.raises(SystemExit):
            planned(tmp_path).work(1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    until(lambda: sandboxes.downs == sandboxes.ups, 10, "the sandbox to go")


def test_a_course_stands_still_with_all_below_it(tmp_path: Path) -> None:
    one = course(1, tmp_path)
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        one._process = shell  # type: ignore[assignment]

        def states() -> list[str]:
            stats = [Path(f"/proc/{pid}/stat").read_text() for pid in (shell.pid, child)]
            return [stat.rpartition(")")[2].split()[0] for stat in stats]

        try:
            with one.halted():
                until(lambda: states() == ["T", "T"], 10, "both stand still")
            until(lambda: "T" not in states(), 10, "both go on")
        finally:
            os.kill(child, 9)
            shell.kill()


def test_the_inverted_handler_is_the_sandboxes_own_but_for_who_is_promoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    right = inspect.signature(control.handlers.main)

    def main(*given: str) -> None:
        done.extend(right.bind(*given).args)
        done.append(str(control.handlers.promoted_percent({"status": {"recommendedBaseline": "canary"}})))

    monkeypatch.setattr(control.handlers, "promoted_percent", control.handlers.promoted_percent)
    monkeypatch.setattr(control.handlers, "main", main)
    exec(control._INVERTED, {})
    assert done == ["finish", "0"]
