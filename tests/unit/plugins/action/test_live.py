# SPDX-License-Identifier: GPL-3.0-or-later
"""Live progress: recorded transcripts replayed against a fake display and clock."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants as C
from ansible_collections.iter8.kfserving.plugins.plugin_utils import live
from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import (
    LiveActionModule,
    LiveShow,
    ProgressReader,
    Repeats,
    following,
)
from ansible_collections.iter8.kfserving.tests.support.clock import FakeClock

TRANSCRIPTS = Path(__file__).parent / "transcripts"
RECORDED = sorted(path.stem for path in TRANSCRIPTS.glob("*.jsonl"))
COLOURS = {None: "", C.COLOR_OK: "  [ok]", C.COLOR_WARN: "  [warn]", C.COLOR_ERROR: "  [error]"}

Shown = tuple[float, str, "str | None"]


def line(text: str, event: str = "iteration", **data: Any) -> dict[str, Any]:
    return {"time": 1.0, "source": "experiment", "event": event, "text": text, "data": data}


def recorded(name: str) -> list[dict[str, Any]]:
    """The timeline of a real rollout on a sandbox."""
    return [json.loads(text) for text in (TRANSCRIPTS / f"{name}.jsonl").read_text().splitlines()]


def waits(entries: list[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """What stood in the timeline, and what came, for each of the rollout's two waits."""
    marks = [
        n for n, entry in enumerate(entries) if entry["event"] in ("canary_applied", "experiment_created")
    ]
    for begin, end in zip(marks, [*marks[1:], len(entries)], strict=True):
        yield entries[: begin + 1], [e for e in entries[begin + 1 : end] if e["source"] != "playbook"]


def replay(earlier: list[dict[str, Any]], own: list[dict[str, Any]], **options: Any) -> list[Shown]:
    """Polls five times a second while the lines arrive at their recorded times."""
    start = earlier[-1]["time"]
    clock = FakeClock(1000.0)
    shown: list[Shown] = []
    left = list(own)

    def read() -> list[dict[str, Any]]:
        due = [entry for entry in left if entry["time"] - start <= clock.now - 1000]
        del left[: len(due)]
        return due

    def print_line(text: str, colour: str | None) -> None:
        shown.append((clock.now - 1000, text, colour))

    show = LiveShow(read, print_line, clock, repeats=Repeats(earlier), **options)
    while left:
        clock.sleep(0.2)
        show.poll()
    return shown


def screen(name: str) -> str:
    """What the recorded rollout shows in a terminal."""
    shown = [line for earlier, own in waits(recorded(name)) for line in [*replay(earlier, own), None]]
    text = "".join("\n" if s is None else f"{s[0]:5.1f}  {s[1]}{COLOURS[s[2]]}\n" for s in shown)
    return text.rstrip() + "\n"


def test_there_are_transcripts_of_every_kind_of_end() -> None:
    assert {"promotion", "rollback", "failure", "lost-connection", "deleted"} <= set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_rollout_is_shown_as_it_was_judged_good(name: str) -> None:
    assert screen(name) == (TRANSCRIPTS / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_left_out_is_shown_at_v(name: str) -> None:
    for earlier, own in waits(recorded(name)):
        shown = replay(earlier, own, verbose=True)
        assert [text for _when, text, _colour in shown] == [entry["text"] for entry in own]
        for (when, _text, _colour), entry in zip(shown, own, strict=True):
            assert -0.01 <= when - (entry["time"] - earlier[-1]["time"]) <= 0.21


@pytest.mark.parametrize("name", RECORDED)
def test_every_iteration_and_change_of_traffic_is_shown(name: str) -> None:
    for earlier, own in waits(recorded(name)):
        shown = [text for _when, text, _colour in replay(earlier, own)]
        for event in ("iteration", "completed", "handler", "connection", "deleted"):
            texts = [entry["text"] for entry in own if entry["event"] == event]
            assert [text for text in shown if text in texts] == texts


def test_a_silence_gets_heartbeats_with_the_last_line() -> None:
    *_unused, (earlier, own) = waits(recorded("rollback"))
    shown = replay(earlier, own, heartbeat_seconds=1.0)
    beats = [n for n, (_when, text, _colour) in enumerate(shown) if text.startswith("still waiting")]
    assert beats, "the iterations are 2 s apart"
    for n in beats:
        last = [text for _when, text, _colour in shown[:n] if not text.startswith("still waiting")]
        last_text = f"; last: {last[-1]}" if last else ""
        assert re.fullmatch(rf"still waiting, nothing new for [0-9]+ s{re.escape(last_text)}", shown[n][1])


def test_heartbeats_are_rare() -> None:
    clock = FakeClock(1000.0)
    shown: list[float] = []
    show = LiveShow(lambda: [], lambda _text, _colour: shown.append(clock.now - 1000), clock)
    for _unused in range(600):
        clock.sleep(0.2)
        show.poll()
    assert shown == pytest.approx([30, 60, 90, 120], abs=0.3)


def test_what_an_earlier_wait_showed_last_is_not_shown_again() -> None:
    repeats = Repeats([line("a ready", "ready"), line("b ready", "ready"), line("a 100 %", "traffic")])
    assert repeats.is_repeat(line("b ready", "ready"))
    assert not repeats.is_repeat(line("b ready", "ready")), "shown anew, it is news"
    assert not repeats.is_repeat(line("a 50 %", "traffic"))
    assert not repeats.is_repeat(line("a 100 %", "traffic")), "it went there and back"


@pytest.mark.parametrize(
    ("entry", "colour"),
    [
        (line("a"), None),
        (line("a", "iteration", failed=0), None),
        (line("a", "iteration", failed=2), C.COLOR_ERROR),
        (line("a", "completed", winner="canary", failed=False), C.COLOR_OK),
        (line("a", "completed", winner="baseline", failed=False), C.COLOR_WARN),
        (line("a", "completed", winner=None, failed=False), C.COLOR_WARN),
        ({**line("a", "completed"), "source": "sandbox"}, C.COLOR_OK),
        (line("a", "completed", winner=None, failed=True), C.COLOR_ERROR),
        (line("a", "handler", failed=True), C.COLOR_ERROR),
        (line("a", "deleted"), C.COLOR_WARN),
        ({**line("a", "deleted"), "source": "playbook"}, None),
        (line("a", "connection", lost=True), C.COLOR_WARN),
        ({"text": "a"}, None),
        ({"text": "a", "data": ["odd"]}, None),
    ],
)
def test_endings_and_losses_are_coloured(entry: dict[str, Any], colour: str | None) -> None:
    assert live.colour_of(entry) == colour


@pytest.mark.parametrize(
    ("entry", "news"),
    [
        (line("a"), True),
        ({**line("a", "deleted"), "source": "playbook"}, False),
        ({**line("a", "deleting"), "source": "playbook"}, True),
        (line("a", "deleted"), True),
        (line("a", "condition", type="ExperimentFailed", status="False", reason=""), False),
        (line("a", "condition", type="ExperimentFailed", status="True", reason=""), True),
        (line("a", "condition", type="ExperimentCompleted", status="False", reason="StartHandler"), True),
        (line("a", "condition", type="ExperimentCompleted", status="True", reason="Completed"), False),
        (line("a", "condition", type="Completed", status="True", reason="Completed"), False),
        ({"text": "a", "event": "condition", "data": ["odd"]}, True),
    ],
)
def test_what_says_nothing_is_no_news(entry: dict[str, Any], news: bool) -> None:
    assert live.is_news(entry) is news


@pytest.mark.parametrize(
    "noise", [b"not json\n", b"[1]\n", b'{"text": 5}\n', b"\n", b'{"no": "text"}\n', b"\xff\xfe\n"]
)
def test_noise_in_the_file_is_passed_over(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "progress"
    path.write_bytes(noise + json.dumps(line("good")).encode() + b"\n" + noise)
    assert [entry["text"] for entry in ProgressReader(str(path)).read()] == ["good"]


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    reader = ProgressReader(str(path))
    assert reader.read() == []
    whole = json.dumps(line("één")).encode() + b"\n"
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        assert reader.read() == [], cut
    path.write_bytes(whole)
    assert [entry["text"] for entry in reader.read()] == ["één"]
    assert reader.read() == []


def test_what_stood_in_the_file_before_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    path.write_text(json.dumps(line("before")) + "\n")
    reader = ProgressReader(str(path), path.stat().st_size)
    with path.open("a") as file:
        file.write(json.dumps(line("after")) + "\n")
    assert [entry["text"] for entry in reader.read()] == ["after"]


def test_following_shows_the_last_lines_even_when_the_body_raises() -> None:
    waiting: list[dict[str, Any]] = []
    shown: list[str] = []

    def read() -> list[dict[str, Any]]:
        entries, waiting[:] = list(waiting), []
        return entries

    show = LiveShow(read, lambda text, _colour: shown.append(text))

    def body() -> None:
        with following(show, poll_seconds=60):
            waiting.append(line("last words"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    assert shown == ["last words"]
    assert "live-progress" not in [thread.name for thread in threading.enumerate()]


def test_a_fault_in_showing_never_reaches_the_task() -> None:
    def broken(_text: str, _colour: str | None) -> None:
        raise OSError("the terminal went away")

    with following(LiveShow(lambda: [line("x")], broken), poll_seconds=0.001):
        pass


END = line("two", "completed", winner="canary")


class FakeShell:
    tmpdir = None


class FakeConnection:
    has_native_async = False
    become = None
    _shell = FakeShell()

    def __init__(self, transport: str = "local") -> None:
        self.transport = transport


class FakeBecome:
    def __init__(self, user: str) -> None:
        self.user = user

    def get_option(self, _name: str, playcontext: Any = None) -> str:
        return self.user


class Action(LiveActionModule):
    """The real action with a module that writes two lines and returns."""

    ran_with: dict[str, Any]
    raises: BaseException | None = None
    entries = (line("one"), END)

    def _execute_module(
        self, module_args: Any = None, task_vars: Any = None, **options: Any
    ) -> dict[str, Any]:
        self.ran_with = dict(self._task.args if module_args is None else module_args)
        self.options = options
        path = self.ran_with.get("progress_file")
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(entry) + "\n" for entry in self.entries)
        if self.raises:
            raise self.raises
        return {"changed": False, "transitions": self.entries}

    def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
        return None


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    shown: list[tuple[str, str | None]] = []

    def show(message: str, color: str | None = None, log_only: bool = False) -> None:
        shown.append((("only to the log: " if log_only else "") + message, color))

    fake = SimpleNamespace(verbosity=0, display=show, deprecated=print)
    monkeypatch.setattr(live, "Display", lambda: fake)
    return shown


def action(
    connection: FakeConnection | None = None, action_class: type[Action] = Action, **task: Any
) -> Action:
    fields: dict[str, Any] = {
        "args": {"name": "experiment-1"},
        "no_log": False,
        "async_val": 0,
        "action": "x",
        "diff": False,
        "check_mode": False,
        "environment": None,
    }
    fields.update(task)
    play_context = SimpleNamespace(check_mode=fields["check_mode"])
    return action_class(
        SimpleNamespace(**fields), connection or FakeConnection(), play_context, None, None, None
    )


def temporary_files() -> list[str]:
    return [name for name in os.listdir(C.DEFAULT_LOCAL_TMP) if name.startswith("progress-")]


def test_the_module_runs_with_a_temporary_progress_file_that_is_shown_and_removed(
    display: list[tuple[str, str | None]],
) -> None:
    plugin = action()
    result = plugin.run(task_vars={})
    assert plugin.ran_with["name"] == "experiment-1"
    assert not os.path.exists(plugin.ran_with["progress_file"])
    assert display == [("    one", None), ("    two", C.COLOR_OK)]
    assert result["changed"] is False
    assert "progress_file" not in plugin._task.args


def test_a_named_progress_file_is_kept_and_only_its_new_lines_are_shown(
    tmp_path: Path, display: list[tuple[str, str | None]]
) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_text(json.dumps(line("earlier task")) + "\n")
    action(args={"progress_file": str(path)}).run(task_vars={})
    assert [text for text, _colour in display] == ["    one", "    two"]
    assert len(path.read_text().splitlines()) == 3


def test_what_the_cluster_says_is_shown_and_not_sent(display: list[tuple[str, str | None]]) -> None:
    last_words = line(
        "Ready=False: boom\x1b[2K\r\x9b32mPASS\n\u202e \ud800", "condition", status="False", reason="x"
    )
    action(action_class=type("Shouting", (Action,), {"entries": (last_words,)})).run(task_vars={})
    assert display == [(r"    Ready=False: boom\x1b[2K\r\x9b32mPASS\n\u202e \ud800", None)]


@pytest.mark.parametrize("transport", ["local", "ssh"])
def test_a_line_that_nobody_would_read_goes_to_the_log_alone(
    display: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    answers = iter([True, False])
    monkeypatch.setattr(live, "takes_lines", lambda: next(answers))
    action(FakeConnection(transport)).run(task_vars={})
    assert display == [("    one", None), ("only to the log:     two", C.COLOR_OK)]


NOTHING = line("ExperimentFailed=False", "condition", type="ExperimentFailed", status="False", reason="")


def test_what_an_earlier_task_wrote_is_not_shown_again(
    tmp_path: Path, display: list[tuple[str, str | None]]
) -> None:
    path = tmp_path / "timeline.jsonl"
    path.write_text(json.dumps(line("one")) + "\n")
    action(args={"progress_file": str(path)}).run(task_vars={})
    assert [text for text, _colour in display] == ["    two"]


@pytest.mark.parametrize("transport", ["local", "ssh"])
def test_what_is_no_news_is_shown_at_v_alone(display: list[tuple[str, str | None]], transport: str) -> None:
    plugin = action(FakeConnection(transport))
    plugin.entries = (NOTHING, END)
    plugin.run(task_vars={})
    assert [text for text, _colour in display] == ["    two"]
    display.clear()
    live.Display().verbosity = 1
    plugin.run(task_vars={})
    assert [text for text, _colour in display] == ["    ExperimentFailed=False", "    two"]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), TimeoutError("task timed out")])
def test_an_interrupted_task_leaves_no_file_and_no_thread(
    display: list[tuple[str, str | None]], end: BaseException
) -> None:
    plugin = action()
    plugin.raises = end
    with pytest.raises(type(end)):
        plugin.run(task_vars={})
    assert temporary_files() == []
    assert "live-progress" not in [thread.name for thread in threading.enumerate()]
    assert [text for text, _colour in display] == ["    one", "    two"]


@pytest.mark.parametrize("hidden", ["no_log", "verbosity", "json callback"])
def test_nothing_is_shown_where_display_is_not_to_show(
    display: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    task: dict[str, Any] = {}
    if hidden == "no_log":
        task["no_log"] = True
    elif hidden == "verbosity":
        live.Display().verbosity = -1
    else:
        monkeypatch.setattr(C.config, "get_config_value", lambda _name: "ansible.posix.json")
    plugin = action(**task)
    plugin.run(task_vars={})
    assert display == []
    assert "progress_file" not in plugin.ran_with


@pytest.mark.parametrize(
    ("transport", "become_user", "live_file"),
    [("local", None, True), ("local", "root", True), ("local", "nobody", False), ("ssh", None, False)],
)
def test_out_of_reach_of_the_file_the_transitions_are_shown_at_the_end(
    display: list[tuple[str, str | None]], transport: str, become_user: str | None, live_file: bool
) -> None:
    connection = FakeConnection(transport)
    connection.become = FakeBecome(become_user) if become_user else None  # type: ignore[assignment]
    plugin = action(connection)
    plugin.run(task_vars={})
    assert ("progress_file" in plugin.ran_with) is live_file
    assert [text for text, _colour in display] == ["    one", "    two"]


def test_an_asynchronous_task_is_passed_through(display: list[tuple[str, str | None]]) -> None:
    plugin = action(async_val=60)
    plugin.run(task_vars={})
    assert plugin.options["wrap_async"] is True
    assert display == []


def test_hosts_are_named_when_there_are_several(display: list[tuple[str, str | None]]) -> None:
    action().run(task_vars={"ansible_play_hosts_all": ["a", "b"], "inventory_hostname": "b"})
    assert [text for text, _colour in display] == ["    [b] one", "    [b] two"]


class FakeLoader:
    """Ansible's DataLoader: of two files one is encrypted."""

    def get_real_file(self, path: str, decrypt: bool) -> str:
        assert decrypt
        return "/tmp/decrypted" if path.endswith("vaulted") else path


@pytest.mark.parametrize("action_class", [Action, type("Quiet", (Action,), {"_shows_progress": False})])
@pytest.mark.parametrize("transport", ["local", "ssh"])
def test_a_vaulted_kubeconfig_is_decrypted_on_the_controller(
    tmp_path: Path, display: list[tuple[str, str | None]], transport: str, action_class: type[Action]
) -> None:
    plain, vaulted = tmp_path / "plain", tmp_path / "vaulted"
    for path in (plain, vaulted):
        path.touch()
    named = f"{plain}:{vaulted}:{tmp_path}/none"
    plugin = action(FakeConnection(transport), args={"kubeconfig": named}, action_class=action_class)
    plugin._loader = FakeLoader()
    plugin.run(task_vars={})
    expected = f"{plain}:/tmp/decrypted:{tmp_path}/none" if transport == "local" else named
    assert plugin.ran_with["kubeconfig"] == expected
    assert plugin._task.args == {"kubeconfig": named}


def test_a_kubeconfig_that_is_no_file_is_left_as_it_is(display: list[tuple[str, str | None]]) -> None:
    content = {"kind": "Config"}
    plugin = action(args={"kubeconfig": content})
    plugin.run(task_vars={})
    assert plugin.ran_with["kubeconfig"] == content


def test_a_module_without_a_progress_file_gets_none(display: list[tuple[str, str | None]]) -> None:
    from ansible_collections.iter8.kfserving.plugins.action import ingress_info

    assert ingress_info.ActionModule._shows_progress is False
    plugin = action(action_class=type("Quiet", (Action,), {"_shows_progress": False}))
    plugin.run(task_vars={})
    assert "progress_file" not in plugin.ran_with
    assert display == []
