# SPDX-License-Identifier: GPL-3.0-or-later
"""Live progress: recorded transcripts replayed against a fake display and clock."""

from __future__ import annotations

import json
import os
import threading
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
    following,
)

TRANSCRIPT = Path(__file__).parent / "transcripts" / "promotion.jsonl"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def line(text: str, event: str = "iteration", **data: Any) -> dict[str, Any]:
    return {"time": 1.0, "source": "experiment", "event": event, "text": text, "data": data}


def replay(seconds: float, heartbeat: float = 30.0) -> list[tuple[float, str, str | None]]:
    """Polls twice a second while the recorded lines arrive at their recorded times."""
    recorded = [json.loads(text) for text in TRANSCRIPT.read_text().splitlines()]
    start = recorded[0]["time"]
    clock = Clock()
    shown: list[tuple[float, str, str | None]] = []
    left = list(recorded)

    def read() -> list[dict[str, Any]]:
        due = [entry for entry in left if entry["time"] - start <= clock.now - 1000]
        del left[: len(due)]
        return due

    def print_line(text: str, colour: str | None) -> None:
        shown.append((clock.now - 1000, text, colour))

    show = LiveShow(read, print_line, clock, heartbeat)
    while clock.now < 1000 + seconds:
        show.poll()
        clock.now += 0.5
    return shown


def test_each_recorded_transition_is_shown_once_in_order_and_on_time() -> None:
    recorded = [json.loads(text) for text in TRANSCRIPT.read_text().splitlines()]
    shown = replay(120)
    texts = [text for _when, text, _colour in shown if "still waiting" not in text]
    assert texts == [entry["text"] for entry in recorded]
    first = recorded[0]["time"]
    for (when, _text, _colour), entry in zip(
        [each for each in shown if "still waiting" not in each[1]], recorded, strict=True
    ):
        assert 0 <= when - (entry["time"] - first) <= 0.5


def test_a_silence_of_thirty_seconds_gets_a_heartbeat_with_the_last_line() -> None:
    shown = replay(120)
    beats = [(when, text) for when, text, _colour in shown if "still waiting" in text]
    # The transcript is silent from second 40 to second 105.
    assert [text for _when, text in beats] == [
        "still waiting, nothing new for 30 s; last: experiment-1  iteration 2/12  canary 15 %",
        "still waiting, nothing new for 60 s; last: experiment-1  iteration 2/12  canary 15 %",
    ]


@pytest.mark.parametrize(
    ("entry", "colour"),
    [
        (line("a"), None),
        (line("a", "completed"), C.COLOR_OK),
        (line("a", "completed", failed=True), C.COLOR_ERROR),
        (line("a", "handler", failed=True), C.COLOR_ERROR),
        (line("a", "deleted"), C.COLOR_WARN),
        ({"text": "a"}, None),
        ({"text": "a", "data": ["odd"]}, None),
    ],
)
def test_only_endings_are_coloured(entry: dict[str, Any], colour: str | None) -> None:
    assert live.colour_of(entry) == colour


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

    def _execute_module(
        self, module_args: Any = None, task_vars: Any = None, **options: Any
    ) -> dict[str, Any]:
        self.ran_with = dict(self._task.args if module_args is None else module_args)
        self.options = options
        path = self.ran_with.get("progress_file")
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line("one")) + "\n" + json.dumps(line("two", "completed")) + "\n")
        if self.raises:
            raise self.raises
        return {"changed": False, "transitions": [line("one"), line("two", "completed")]}

    def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
        return None


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    shown: list[tuple[str, str | None]] = []
    fake = SimpleNamespace(
        verbosity=0, display=lambda message, color=None: shown.append((message, color)), deprecated=print
    )
    monkeypatch.setattr(live, "Display", lambda: fake)
    return shown


def action(connection: FakeConnection | None = None, **task: Any) -> Action:
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
    return Action(SimpleNamespace(**fields), connection or FakeConnection(), play_context, None, None, None)


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
