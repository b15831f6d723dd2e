# SPDX-License-Identifier: GPL-3.0-or-later
"""Live progress for a module that takes minutes: the action side.

Ansible's modules cannot stream, but an action plugin may print with Display while its module runs.
The module appends JSON lines with a ``text`` to a progress file; here a thread follows that file and
prints each text as it comes. An action plugin is then one line: ``class ActionModule(LiveActionModule)``.
Private to this collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ansible import constants as C
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import printable
from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import Here
from ansible_collections.iter8.kfserving.plugins.plugin_utils.kubeconfig import with_readable_kubeconfig
from ansible_collections.iter8.kfserving.plugins.plugin_utils.standard_output import takes_lines

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 30.0
# Between a line and the next: Display takes a line to standard output in another process.
SETTLE_SECONDS = 0.02
# What these print on standard output is for programs to read; a line of ours would spoil it.
MACHINE_CALLBACKS = frozenset({"json", "jsonl", "null"})

Entry = dict[str, Any]
Show = Callable[[str, "str | None"], None]


def parse_entries(data: bytes) -> list[Entry]:
    """The JSON objects with a ``text`` among the lines of ``data``; anything else is left out."""
    entries: list[Entry] = []
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("text"), str):
            entries.append(entry)
    return entries


def _data(entry: Entry) -> dict[str, Any]:
    data = entry.get("data")
    return data if isinstance(data, dict) else {}


def colour_of(entry: Entry) -> str | None:
    """Display's colour for an entry: endings and losses stand out, everything else stays plain."""
    event, data = entry.get("event"), _data(entry)
    # In an iteration this is how many requests have failed, elsewhere whether it has.
    if data.get("failed"):
        return str(C.COLOR_ERROR)
    if event == "completed":
        # Nothing but an experiment has a winner.
        return str(C.COLOR_OK if data.get("winner", "canary") == "canary" else C.COLOR_WARN)
    # What a run removes of its own is no surprise.
    if event == "connection" or (event == "deleted" and entry.get("source") != "playbook"):
        return str(C.COLOR_WARN)
    return None


def is_news(entry: Entry) -> bool:
    """Whether a person wants to read it: the removal of each object, and conditions that say nothing or what
    the next line says, are for the timeline and for `-v`."""
    event, data = entry.get("event"), _data(entry)
    if event == "deleted":
        return entry.get("source") != "playbook"
    if event == "condition":
        completed = data.get("status") == "True" and str(data.get("type")).endswith("Completed")
        return not completed and (data.get("status") != "False" or bool(data.get("reason")))
    return True


class Repeats:
    """What earlier waits of the same timeline showed last of each kind: a watch begins with it again."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._texts = {self._key(entry): entry["text"] for entry in entries}

    @staticmethod
    def _key(entry: Entry) -> tuple[str, str]:
        return str(entry.get("source")), str(entry.get("event"))

    def is_repeat(self, entry: Entry) -> bool:
        """Whether this first entry of its kind only repeats the last one of the earlier waits."""
        return self._texts.pop(self._key(entry), None) == entry["text"]


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


class ProgressReader:
    """Reads what was appended to a progress file since the last look, whole lines only."""

    def __init__(self, path: str, offset: int = 0) -> None:
        self._path = path
        self._offset = offset

    def read(self) -> list[Entry]:
        """New entries, oldest first; none while the file does not exist."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        # A line still being written has no newline yet: it waits for the next look.
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return parse_entries(whole)


class LiveShow:
    """Prints entries as they come, and a sign of life when none came for ``heartbeat_seconds``."""

    def __init__(
        self,
        read: Callable[[], list[Entry]],
        show: Show,
        clock: Callable[[], float] = time.monotonic,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        *,
        repeats: Repeats | None = None,
        verbose: bool = False,
    ) -> None:
        """``verbose`` prints also what is no news, and repeats."""
        self._read = read
        self._show = show
        self._clock = clock
        self._heartbeat = heartbeat_seconds
        self._repeats = repeats or Repeats()
        self._verbose = verbose
        self._last_text = ""
        self._last_entry = self._last_shown = clock()

    def poll(self) -> None:
        """One look: print what is new, or the heartbeat if it is due."""
        entries = [entry for entry in self._read() if self._verbose or self._is_shown(entry)]
        now = self._clock()
        for entry in entries:
            self._show(entry["text"], colour_of(entry))
            self._last_text = entry["text"]
            self._last_entry = self._last_shown = now
        if not entries and now - self._last_shown >= self._heartbeat:
            self._last_shown = now
            since = f"still waiting, nothing new for {now - self._last_entry:.0f} s"
            self._show(f"{since}; last: {self._last_text}" if self._last_text else since, None)

    def _is_shown(self, entry: Entry) -> bool:
        return not self._repeats.is_repeat(entry) and is_news(entry)


@contextlib.contextmanager
def following(live: LiveShow, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """Polls ``live`` in a thread while the body runs, and once more when it has ended, however it ended."""
    ended = threading.Event()

    def follow() -> None:
        # Progress is a courtesy: a fault in showing it must never reach the task.
        with contextlib.suppress(Exception):
            while not ended.wait(poll_seconds):
                live.poll()

    thread = threading.Thread(target=follow, name="live-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
        if not thread.is_alive():
            with contextlib.suppress(Exception):
                live.poll()


class LiveActionModule(Here):
    """Runs the module of the action's own name and shows its progress file live.

    The module must take ``progress_file``, and gets a kubeconfig that it can read. Where the module runs
    elsewhere than this plugin can read (another host, or as another user), the texts of the ``transitions``
    that it returns are shown once it has ended.
    """

    _supports_check_mode = True
    _supports_async = True
    # Whether the module writes a progress file at all.
    _shows_progress = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        wrap_async = bool(self._task.async_val and not self._connection.has_native_async)
        try:
            arguments = with_readable_kubeconfig(self._task.args, self._loader, self._connection.transport)
            if wrap_async or not self._may_print():
                output = self._execute_module(
                    module_args=arguments, task_vars=task_vars, wrap_async=wrap_async
                )
            elif self._can_read_progress():
                output = self._run_live(arguments, task_vars)
            else:
                output = self._execute_module(module_args=arguments, task_vars=task_vars)
                self._show_afterwards(output, task_vars)
        finally:
            if not wrap_async:
                self._remove_tmp_path(self._connection._shell.tmpdir)
        return dict(merge_hash(result, output))

    def _may_print(self) -> bool:
        """Whether progress may be printed at all."""
        callback = str(C.config.get_config_value("DEFAULT_STDOUT_CALLBACK")).rpartition(".")[2]
        if not self._shows_progress:
            return False
        return not self._task.no_log and callback not in MACHINE_CALLBACKS and Display().verbosity >= 0

    def _can_read_progress(self) -> bool:
        """Whether a file that the module writes can be followed from here."""
        if self._connection.transport != "local":
            return False
        become = self._connection.become
        if become is None:
            return True
        # Root may write the file that this user made; another user may not even reach its folder.
        return become.get_option("become_user", playcontext=self._play_context) in (None, "root")

    def _run_live(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        named = arguments.get("progress_file")
        if named:
            path = os.path.expanduser(os.path.expandvars(str(named)))
            # The module appends, so what stands there already belongs to earlier tasks.
            earlier = _content(path)
            offset = len(earlier)
        else:
            # In Ansible's own temporary folder, which it removes at exit even when this worker was killed.
            handle, path = tempfile.mkstemp(prefix="progress-", suffix=".jsonl", dir=C.DEFAULT_LOCAL_TMP)
            os.close(handle)
            earlier, offset = b"", 0
            arguments["progress_file"] = path
        live = LiveShow(
            ProgressReader(path, offset).read,
            self._printer(task_vars),
            repeats=Repeats(parse_entries(earlier)),
            verbose=Display().verbosity > 0,
        )
        try:
            with following(live):
                return dict(self._execute_module(module_args=arguments, task_vars=task_vars))
        finally:
            if not named:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _show_afterwards(self, output: dict[str, Any], task_vars: dict[str, Any] | None) -> None:
        entries = [
            entry
            for entry in output.get("transitions") or []
            if isinstance(entry, dict) and isinstance(entry.get("text"), str)
        ]
        verbose = Display().verbosity > 0
        LiveShow(lambda: entries, self._printer(task_vars), verbose=verbose).poll()

    def _printer(self, task_vars: dict[str, Any] | None) -> Show:
        variables = task_vars or {}
        several = len(variables.get("ansible_play_hosts_all") or []) > 1
        prefix = f"    [{variables.get('inventory_hostname')}] " if several else "    "
        display = Display()
        settled = time.monotonic()

        def show(text: str, colour: str | None) -> None:
            nonlocal settled
            # The reader of the line before may be about to go, as `head` does: that has to show first.
            time.sleep(max(0.0, settled - time.monotonic()))
            settled = time.monotonic() + SETTLE_SECONDS
            display.display(prefix + printable(text), color=colour, log_only=not takes_lines())

        return show
