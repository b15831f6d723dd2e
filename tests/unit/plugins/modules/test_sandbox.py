# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.action.sandbox import ActionModule
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox import paths
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.control_plane import components
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle import (
    absent,
    module,
    parts,
    present,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.programs import cache
from ansible_collections.iter8.kfserving.plugins.modules import sandbox


class Ended(Exception):
    """The module has exited or failed."""


class Module:
    """An AnsibleModule as far as it is used."""

    def __init__(self, check_mode: bool = False, **options: Any) -> None:
        self.params = {name: spec.get("default") for name, spec in sandbox.ARGUMENTS.items()}
        self.params.update(options)
        self.check_mode = check_mode
        self.result: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> None:
        self.result = result
        raise Ended

    def fail_json(self, msg: str, **result: Any) -> None:
        self.result = {"failed": True, "msg": msg, **result}
        raise Ended


def run(**options: Any) -> dict[str, Any]:
    made = Module(**options)
    with pytest.raises(Ended):
        module.run(made)
    return made.result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "state/iter8-kfserving/sandboxes"


def test_the_documentation_and_the_options_agree() -> None:
    documented = yaml.safe_load(sandbox.DOCUMENTATION)["options"]
    assert documented.keys() == sandbox.ARGUMENTS.keys()
    for name, spec in sandbox.ARGUMENTS.items():
        for key in ("type", "default", "choices"):
            assert documented[name].get(key) == spec.get(key), (name, key)


def test_the_examples_are_tasks_with_known_options() -> None:
    tasks = yaml.safe_load(sandbox.EXAMPLES)
    ours = [task["iter8.kfserving.sandbox"] for task in tasks if "iter8.kfserving.sandbox" in task]
    assert len(ours) == 3
    assert all(options.keys() <= sandbox.ARGUMENTS.keys() for options in ours)


def test_what_is_returned_is_documented(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = paths.Sandbox(
        "one", 7, "https://127.0.0.1:1", 0, {"api": 1}, {"etcd": "/e"}, {"etcd": "3.5.1"}
    )
    outcome = present.Up(paths.layout("one"), True, described, ["node"])
    monkeypatch.setattr(present, "up", lambda *_a, **_k: outcome)
    result = run(name="one")
    assert result.pop("changed") is True
    removed = run(name="one", state="absent")
    removed.pop("changed")
    assert {*result, *removed} == yaml.safe_load(sandbox.RETURN).keys()
    assert result["network"] == "127.7.0.0/16"
    assert result["context"] == "sandbox-one"
    assert result["kubeconfig"] == str(folder / "one/kubeconfig")


def test_the_options_reach_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, present.SandboxOptions]] = []

    def up(name: str, options: present.SandboxOptions, report: Callable[[str], None]) -> present.Up:
        seen.append((name, options))
        report("a step")
        return present.Up(paths.layout(name), False)

    monkeypatch.setattr(present, "up", up)
    run(name="one", api_port=1234, binaries_dir="/b", cache_dir="/c", source_dir="/s")
    assert seen == [("one", present.SandboxOptions(Path("/s"), Path("/c"), Path("/b"), 1234))]
    run(name="two")
    assert seen[1][1].cache == paths.cache_dir()
    assert (seen[1][1].source / "_sandbox").is_dir()


@pytest.mark.parametrize("created", [True, False])
def test_a_record_goes_where_the_sandbox_begins_anew(
    created: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stays where it is mended, for then all that it tells of is there."""
    record = tmp_path / "run.json"
    record.touch()
    outcome = present.Up(paths.layout("one"), True, None, created=created)
    monkeypatch.setattr(present, "up", lambda *_a, **_k: outcome)
    for _again in range(2):
        assert "failed" not in run(name="one", record=str(record))
        assert record.exists() is not created


def test_each_step_is_appended_to_the_progress_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def up(_name: str, _options: present.SandboxOptions, step: Callable[[str], None]) -> present.Up:
        step("one")
        raise OSError(28, "No space left on device", "/s")

    path = tmp_path / "progress"
    path.write_text('{"text": "earlier"}\n')
    monkeypatch.setattr(present, "up", up)
    result = run(name="one", progress_file=str(path))
    assert result["failed"] is True
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["text"] for entry in entries] == ["earlier", "one"]
    stamp = entries[1].pop("time")
    assert abs(stamp - time.time()) < 60
    assert entries[1] == {"source": "sandbox", "event": "step", "text": "one", "data": {}}
    assert result["transitions"] == [{"time": stamp, **entries[1]}]


def test_absent_where_there_is_nothing_changes_nothing(folder: Path) -> None:
    for check_mode in (True, False):
        result = run(name="one", state="absent", check_mode=check_mode)
        assert result["changed"] is False
        assert result["ended"] == []
    assert not folder.exists()


def test_check_mode_does_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "up", None)
    monkeypatch.setattr(absent, "down", None)
    progress = folder / "progress"
    assert run(name="one", check_mode=True, progress_file=str(progress))["changed"] is True
    assert not progress.exists()
    assert not folder.exists()
    (folder / "one").mkdir(parents=True)
    assert run(name="one", state="absent", check_mode=True)["changed"] is True
    assert (folder / "one").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (cache.BinariesError("no network"), "no network"),
        (components.PortTaken("a port"), "a port"),
        (parts.SandboxError("mixed up"), "mixed up"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/disk/x"),
            "no room left on the disk that holds /disk/x",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), "Permission denied: /root/x"),
    ],
)
def test_an_error_is_one_message(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def up(*_arguments: Any) -> None:
        raise error

    monkeypatch.setattr(present, "up", up)
    result = run(name="one")
    assert result["failed"]
    assert message in result["msg"]
    assert "Traceback" not in result["msg"]


def test_a_bad_name_is_an_error() -> None:
    assert "cannot name a sandbox" in run(name="../etc")["msg"]


def test_a_taken_port_is_an_error_and_nothing_is_left(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = run(name="one", api_port=other.getsockname()[1])
    assert "is taken by another program" in result["msg"]
    assert result["transitions"] == []
    assert not folder.exists()


def test_a_full_disk_is_an_error_and_nothing_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _path: types.SimpleNamespace(free=99_000_000))
    result = run(name="one")
    assert "no room to run a sandbox: it needs 500 MB" in result["msg"]
    assert "99 MB are free" in result["msg"]
    assert not folder.exists()


def test_a_folder_that_is_not_the_collections_is_an_error_and_nothing_is_left(
    folder: Path, tmp_path: Path
) -> None:
    result = run(name="one", source_dir=str(tmp_path))
    assert f"{tmp_path} is not the plugins/module_utils folder" in result["msg"]
    assert not folder.exists()


def test_missing_python_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LIBRARIES", {"no_such_module": "no-such-package", "json": "json"})
    monkeypatch.setattr(module, "_LIBRARIES_OF_PROCESSES", {"nor_this": "nor-this"})
    assert run(name="one")["msg"].endswith("-m pip install no-such-package nor-this")
    # What removes a sandbox starts no process that would import it.
    assert run(name="one", state="absent")["msg"].endswith("-m pip install no-such-package")


@pytest.mark.parametrize(
    ("library", "package"), [("cryptography", "cryptography"), ("yaml", "pyyaml"), ("urllib3", "urllib3")]
)
def test_what_cannot_be_imported_is_named_with_how_to_install_it(library: str, package: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{library!r}] = None\n"
        "from ansible_collections.iter8.kfserving.plugins.modules import sandbox\n"
        "class Module:\n"
        "    params = {'state': 'present'}\n"
        "    def __init__(self, **options): pass\n"
        "    def fail_json(self, msg, exception): print(msg), sys.exit(1)\n"
        "sandbox.AnsibleModule = Module\n"
        "sandbox.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"({package})" in done.stdout
    assert done.stdout.endswith(f"To install: {sys.executable} -m pip install {package}\n")


def action(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], Optional[dict[str, Any]]]:
    made = ActionModule.__new__(ActionModule)
    made._connection = types.SimpleNamespace(transport=transport)
    made._task = types.SimpleNamespace(args={"name": "one"})
    ran: list[dict[str, Any]] = []

    def base(self: Any, _tmp: Any, _task_vars: Any) -> dict[str, Any]:
        ran.append(self._task.args)
        return {"changed": True}

    monkeypatch.setattr(ActionModule.__mro__[1], "run", base)
    return made.run(None, {}), ran[0] if ran else None


def test_the_action_names_the_collections_code(monkeypatch: pytest.MonkeyPatch) -> None:
    result, arguments = action("local", monkeypatch)
    assert result == {"changed": True}
    assert arguments is not None
    assert (Path(arguments["source_dir"]) / "_sandbox/lifecycle/present.py").is_file()
    assert arguments["name"] == "one"


def test_the_action_refuses_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    result, arguments = action("ssh", monkeypatch)
    assert result["failed"]
    assert "on the controller only" in result["msg"]
    assert arguments is None
