# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents of the code's layout name is there."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter

from ansible_collections.iter8.kfserving.tests.support.places import ROOT

UTILS = ROOT / "plugins/module_utils"


def test_every_file_on_the_two_ways_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(_\w+/[\w/]+\.py)`", text)
    assert len(named) > 40
    assert [name for name in named if not (UTILS / name).is_file()] == []


def test_files_and_folders_are_of_a_size_that_one_can_see() -> None:
    """400 lines a file, 15 files a folder, but for what is named here with its reason.

    Ansible wants all modules in one folder, and each in a file of its own; and the same of their actions.
    """
    reasons = {
        # Documentation and argument specification, which a user reads as one page.
        "modules/load_test.py",
        "modules/progressive_rollout.py",
    }
    files = [path for path in (ROOT / "plugins").rglob("*.py") if "__pycache__" not in path.parts]
    long = {
        str(path.relative_to(ROOT / "plugins")) for path in files if len(path.read_text().splitlines()) > 400
    }
    assert long <= reasons
    folders = {path.parent for path in files} - {ROOT / "plugins/modules", ROOT / "plugins/action"}
    assert [str(each) for each in folders if len(list(each.glob("*.py"))) > 15] == []


def test_no_two_classes_have_one_name() -> None:
    """But for the names that Ansible itself looks for, one in each plugin."""
    by_ansible = {"ActionModule", "FilterModule", "LookupModule", "ModuleDocFragment"}
    names = Counter(
        node.name
        for path in (ROOT / "plugins").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1 and name not in by_ansible] == []


def test_no_module_hides_one_of_pythons() -> None:
    """Whoever runs a module's file as a program has its folder first on the path."""
    assert {path.stem for path in (ROOT / "plugins/modules").glob("*.py")} & sys.stdlib_module_names == set()
