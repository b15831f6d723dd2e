# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of the load: documentation and arguments agree, and errors are one sentence."""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.doc_fragments.load import ModuleDocFragment
from ansible_collections.iter8.kfserving.plugins.module_utils._common import files
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import ensure
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.arguments import LOAD_ARGUMENTS
from ansible_collections.iter8.kfserving.plugins.modules import load_test, load_test_info
from ansible_collections.iter8.kfserving.tests.support.ansible_core import module_arguments

WHOLE: Dict[str, Any] = {
    **{name: spec.get("default") for name, spec in load_test.ARGUMENTS.items()},
    "name": "x",
    "url": "http://127.0.0.1/",
}


def call(
    module: Any, capsys: pytest.CaptureFixture[str], arguments: Dict[str, Any], check_mode: bool = False
) -> Tuple[int, Dict[str, Any]]:
    with module_arguments(arguments, check_mode), pytest.raises(SystemExit) as end:
        module.main()
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def test_what_modules_share_is_documented_once() -> None:
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert list(shared) == list(LOAD_ARGUMENTS)


def test_documentation_and_arguments_agree() -> None:
    documented = yaml.safe_load(load_test.DOCUMENTATION)["options"]
    documented |= yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
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
        "state", "headers", "secret_headers", "payload", "payload_file", "payload_files", "payloads",
        "payload_lines", "rate", "profile", "send_times", "stream_timeout", "duration",
        "max_duration", "timeout", "start_at", "stop_at", "part", "parts", "clock_ahead", "copy_files",
        "http2_library",
        "connect_check", "dest", "state_dir",
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


def test_the_values_of_a_payload_given_as_a_mapping_hide_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    payload = {"instances": [[7, 0.5], [True, None]], "signature": "absent"}
    arguments = {"name": "x", "state": "absent", "payload": payload, "calls": 7, "state_dir": str(tmp_path)}
    _code, said = call(load_test, capsys, arguments)
    assert (said["status"], said["invocation"]["module_args"]["calls"]) == ("absent", 7)
    assert said["invocation"]["module_args"]["payload"] == "***"


@pytest.mark.parametrize(
    ("payload", "sent", "typed"),
    [
        ({"instances": [[1, 2]], "ok": True}, b'{"instances": [[1, 2]], "ok": true}', True),
        ([None, "{uuid}", 1.5], b'[null, "{uuid}", 1.5]', True),
        (7, b"7", True),
        ('{"a": 1}', b'{"a": 1}', False),
        ("\u00e4", b"\xc3\xa4", False),
        ("", b"", False),
    ],
)
def test_a_payload_is_sent_as_json_unless_it_is_a_text(payload: Any, sent: bytes, typed: bool) -> None:
    options = ensure.options_from({**WHOLE, "payload": payload})
    assert options.payloads == [sent]
    assert options.headers == ([("Content-Type", "application/json")] if typed else [])
    given = ensure.options_from({**WHOLE, "payload": payload, "headers": {"content-TYPE": "text/x"}})
    assert given.headers == [("content-TYPE", "text/x")]


@pytest.mark.parametrize("payload", [{"a": float("nan")}, "\ud800", {"a": {1, 2}}])
def test_a_payload_that_cannot_be_sent_is_refused(payload: Any) -> None:
    with pytest.raises(LoadError, match="neither UTF-8 nor JSON"):
        ensure.options_from({**WHOLE, "payload": payload})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "x"),
        ("proxy-authorization", "x"),
        ("Cookie", "a=b"),
        ("X-Api-Key", "x"),
        ("x-apikey", "x"),
        ("X-Auth-Token", "x"),
        ("X-Amz-Security-Token", "x"),
        ("Ocp-Apim-Subscription-Key", "x"),
        ("X-Client-Secret", "x"),
        ("X-Forwarded-For-Us", "Bearer s3cret"),
        ("X-Other", "basic dXNlcjpwYXNz"),
    ],
)
def test_credentials_in_headers_are_refused(name: str, value: str) -> None:
    with pytest.raises(LoadError, match="secret_headers") as refusal:
        ensure.options_from({**WHOLE, "headers": {name: value}})
    assert name in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert ensure.options_from({**WHOLE, "secret_headers": {name: value}}).headers == [(name, value)]


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Type", "X-Author", "X-Max-Tokens", "X-Routing-Key", "Idempotency-Key", "X-Tokenizer"],
)
def test_other_headers_are_not(name: str) -> None:
    assert ensure.options_from({**WHOLE, "headers": {name: "basically x"}}).headers == [(name, "basically x")]


def test_a_load_always_has_a_bound() -> None:
    assert ensure.options_from({**WHOLE, "duration": "0"}).max_duration == 4 * 3600 * 10**9
    assert ensure.options_from({**WHOLE, "max_duration": "90m"}).max_duration == 5400 * 10**9
    with pytest.raises(LoadError, match="max_duration must not be 0"):
        ensure.options_from({**WHOLE, "duration": "0", "max_duration": "0"})


@pytest.mark.parametrize("argument", ["state_dir", "payload_file", "dest"])
def test_a_home_that_is_not_there_is_one_clear_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, argument: str
) -> None:
    arguments = {
        "name": "x", "url": "http://127.0.0.1:1/", "state_dir": str(tmp_path), argument: "~nosuchuser/x",
    }  # fmt: skip
    code, said = call(load_test, capsys, arguments)
    assert code == 1
    assert "no such user" in said["msg"]
    assert "~nosuchuser" in said["msg"]


def test_no_home_and_an_unknown_user_is_one_clear_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(files.os, "getuid", lambda: 64_322)
    code, said = call(load_test, capsys, {"name": "x", "url": "http://127.0.0.1:1/"})
    assert code == 1
    assert said["msg"].startswith(
        "The state folder cannot be used: HOME is not set and user 64322 is not known"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"name": "x"}, "state is started but all of the following are missing: url"),
        ({"name": "x", "url": "h"}, "must begin with http://, https://"),
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


@pytest.mark.parametrize(("module", "does"), [(load_test, "ensure_state"), (load_test_info, "describe")])
def test_what_a_server_said_obeys_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: Any, does: str
) -> None:
    said = {"result": {"revisions": {"\x1b[2Jpass\u202e": 1}}, "report": "one\ntwo \x1b[32m\udc9b"}
    monkeypatch.setattr(module, does, lambda *_unused: said)
    _code, told = call(
        module,
        capsys,
        {"name": "x"} if module is load_test_info else {"name": "x", "url": "http://127.0.0.1/"},
    )
    assert told["result"] == {"revisions": {"\\x1b[2Jpass\\u202e": 1}}
    assert told["report"] == "one\ntwo \\x1b[32m\\udc9b"


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
