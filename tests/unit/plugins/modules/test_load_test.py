# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the load: documentation and arguments agree, and errors are one sentence."""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import ensure
from ansible_collections.iter8.kfserving.plugins.modules import load_test, load_test_info


def call(
    module: Any, capsys: pytest.CaptureFixture[str], arguments: Dict[str, Any], check_mode: bool = False
) -> Tuple[int, Dict[str, Any]]:
    with (
        patch_module_args({**arguments, "_ansible_check_mode": check_mode}),
        pytest.raises(SystemExit) as end,
    ):
        module.main()
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def test_documentation_and_arguments_agree() -> None:
    documented = yaml.safe_load(load_test.DOCUMENTATION)["options"]
    assert set(documented) == set(load_test.ARGUMENTS)
    for name, spec in load_test.ARGUMENTS.items():
        told = documented[name]
        assert told["type"] == spec["type"], name
        assert told.get("default") == spec.get("default"), name
        assert told.get("choices") == spec.get("choices"), name
        assert told.get("required", False) == spec.get("required", False), name
        assert told.get("elements") == spec.get("elements"), name


def test_every_argument_is_used() -> None:
    used = {*ensure._PLAIN, *ensure._OPTIONAL}
    own = {
        "state", "headers", "secret_headers", "payload", "payload_file", "payload_files", "duration",
        "timeout", "stop_at", "connect_check", "dest", "state_dir",
    }  # fmt: skip
    assert used | own == set(load_test.ARGUMENTS)


def test_returned_keys_are_documented() -> None:
    returned = set(ensure.describe("/nowhere", "nobody"))
    for module in (load_test, load_test_info):
        assert set(yaml.safe_load(module.RETURN)) == returned


def test_what_ansible_logs_of_a_call_has_no_secrets() -> None:
    for name in ("secret_headers", "payload"):
        assert load_test.ARGUMENTS[name]["no_log"] is True


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/?token=s3cret", "http://user:s3cret@127.0.0.1/"])
def test_what_a_call_returns_has_no_secrets(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, url: str
) -> None:
    arguments = {
        "name": "x",
        "url": url,
        "payload": "s3cret",
        "headers": {"Host": "h", "Authorization": "Bearer s3cret", "X-Api-Key": "s3cret"},
        "secret_headers": {"X-Other": "s3cret"},
        "state_dir": str(tmp_path),
    }
    code, said = call(load_test, capsys, arguments)
    assert code == 1
    assert "s3cret" not in json.dumps(said)
    assert said["invocation"]["module_args"]["headers"] == {
        "Host": "h", "Authorization": "***", "X-Api-Key": "***",
    }  # fmt: skip


def test_a_payload_that_is_a_number_hides_no_other(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    arguments = {"name": "x", "state": "absent", "payload": "0", "calls": 100, "state_dir": str(tmp_path)}
    _code, said = call(load_test, capsys, arguments)
    assert said["progress"]["requests"] == 0
    assert said["invocation"]["module_args"]["calls"] == 100


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"name": "x"}, "state is started but all of the following are missing: url"),
        ({"name": "x", "url": "h"}, "must begin with http:// or https://"),
        (
            {"name": "x", "url": "http://127.0.0.1/", "payload": "a text", "payload_file": "b"},
            "mutually exclusive",
        ),
        (
            {"name": "x", "url": "http://127.0.0.1/", "rate": "fast"},
            "cannot be converted to a float|unable to convert",
        ),
        ({"name": "a b", "state": "absent"}, "The name 'a b' is not valid"),
    ],
)
def test_bad_arguments(capsys: pytest.CaptureFixture[str], tmp_path: Any, arguments: dict, why: str) -> None:
    import re

    code, said = call(load_test, capsys, {**arguments, "state_dir": str(tmp_path / "loads")})
    assert code == 1
    assert re.search(why, said["msg"])
    assert not (tmp_path / "loads").exists()


def test_absent_twice_and_info_of_nobody(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    arguments = {"name": "x", "state_dir": str(tmp_path)}
    code, said = call(load_test, capsys, {**arguments, "state": "absent"})
    assert (code, said["changed"], said["status"]) == (0, False, "absent")
    code, said = call(load_test_info, capsys, arguments)
    assert (code, said["changed"], said["status"], said["result"]) == (0, False, "absent", None)


def test_info_refuses_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = call(load_test_info, capsys, {"name": "../x"})
    assert code == 1
    assert "is not valid" in said["msg"]


def test_an_argument_of_old_is_refused_with_its_new_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    arguments = {"name": "x", "url": "http://127.0.0.1:1/", "lanes": "reused", "state_dir": str(tmp_path)}
    code, said = call(load_test, capsys, arguments)
    assert code == 1
    assert said["msg"] == (
        "The argument lanes is called connection_modes (whose values are keep-alive, new and both) now."
    )


def test_a_value_of_old_is_refused_with_those_of_today(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    arguments = {"name": "x", "url": "http://127.0.0.1:1/", "connection_modes": "reused"}
    code, said = call(load_test, capsys, {**arguments, "state_dir": str(tmp_path)})
    assert code == 1
    assert "connection_modes must be one of: keep-alive, new, both, got: reused" in said["msg"]
