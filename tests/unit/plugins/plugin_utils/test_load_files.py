# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a load's files are brought to its host."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.plugin_utils.load_files import with_files


def test_what_the_load_reads_is_brought_and_nothing_else() -> None:
    brought: list[str] = []

    def bring(path: str) -> str:
        brought.append(path)
        return f"/there/{path}"

    given = {
        "name": "quickstart",
        "payload_files": ["a", "b"],
        "payloads": [{"payload_file": "c", "weight": 2}, {"payload": "a text"}, "wrong"],
        "payload_lines": "d",
        "send_times": "e",
        "payload_file": None,
        "ca_file": "ca.pem",
        "dest": "load.json",
    }
    before = {**given}
    assert with_files(given, bring) == {
        **given,
        "payload_files": ["/there/a", "/there/b"],
        "payloads": [{"payload_file": "/there/c", "weight": 2}, {"payload": "a text"}, "wrong"],
        "payload_lines": "/there/d",
        "send_times": "/there/e",
    }
    assert sorted(brought) == ["a", "b", "c", "d", "e"]
    assert given == before


def test_one_file_is_brought_alone() -> None:
    assert with_files({"payload_file": "a"}, str.upper) == {"payload_file": "A"}
