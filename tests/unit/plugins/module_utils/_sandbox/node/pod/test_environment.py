# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.pod import environment


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$", "$"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(IN)", "$(A)"),
    ],
)
def test_expand(text: str, value: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2", "IN": "$(A)"}) == value


def test_later_values_see_earlier_ones_and_win() -> None:
    variables = [
        {"name": "j", "value": "$(BASE)+$(later)"},
        {"name": "later", "value": "x"},
        {"name": "last", "value": "$(j)"},
        {"name": "OVER", "value": "own"},
        {"name": "k"},
    ]
    assert environment.compose({"name": "c", "env": variables}, {"BASE": "b", "OVER": "node's"}) == {
        "BASE": "b",
        "OVER": "own",
        "j": "b+$(later)",
        "later": "x",
        "last": "b+$(later)",
        "k": "",
    }


def test_command_line() -> None:
    container = {"name": "c", "command": ["run", "$(A)"], "args": ["--x=$(B)", "$$(A)"]}
    assert environment.command_line(container, {"A": "1", "B": "2"}) == ["run", "1", "--x=2", "$(A)"]


def test_volume_variable() -> None:
    assert environment.volume_variable("my-vol.v1") == "VOLUME_MY_VOL_V1"
