# SPDX-License-Identifier: GPL-3.0-or-later
"""What the comparison with Flagger and Argo Rollouts claims is held by tests that there are."""

from __future__ import annotations

import re

import pytest
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

_PAGE = (ROOT / "docs/guides/comparison.md").read_text()
_TABLE = _PAGE.partition("## Flagger and Argo Rollouts, feature by feature\n")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in _TABLE.splitlines()
    if line.startswith("| ") and not line.startswith("| feature |")
]
TESTS = {
    name
    for path in ROOT.glob("tests/**/test_*.py")
    for name in re.findall(r"^ *def (test_\w+)\(", path.read_text(), re.MULTILINE)
}


def test_the_table_is_read() -> None:
    assert len(ROWS) > 30
    assert {len(row) for row in ROWS} == {5}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_is_here_is_held_by_tests_and_what_is_not_has_a_reason(row: list[str]) -> None:
    here, because = row[3], row[4]
    named = re.findall(r"`(test_\w+)`", because)
    assert set(named) <= TESTS
    if here == "no":
        assert not named
        assert len(because.split()) > 5
    else:
        assert named
