# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module says the same of what the attributes mean, and says for each how far it goes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.doc_fragments import attributes, cluster
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))
SHARED = {
    "iter8.kfserving.attributes": attributes.ModuleDocFragment.DOCUMENTATION,
    "iter8.kfserving.attributes.info_module": attributes.ModuleDocFragment.INFO_MODULE,
    "iter8.kfserving.attributes.state_module": attributes.ModuleDocFragment.STATE_MODULE,
    "iter8.kfserving.cluster.wait": cluster.ModuleDocFragment.WAIT,
}


def documentation(module: Path) -> dict[str, Any]:
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return found
    raise AssertionError(f"{module.name} has no DOCUMENTATION")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_attributes_are_described_in_one_place(module: Path) -> None:
    told = documentation(module)
    own = told.get("attributes", {})
    assert not [name for name, row in own.items() if "description" in row], "the fragment describes them"
    fragments = told["extends_documentation_fragment"]
    assert "iter8.kfserving.attributes" in fragments
    described: set[str] = set()
    supported = {name for name, row in own.items() if "support" in row}
    for name in fragments:
        rows = yaml.safe_load(SHARED[name])["attributes"] if name in SHARED else {}
        described |= {attribute for attribute, row in rows.items() if "description" in row}
        supported |= {attribute for attribute, row in rows.items() if "support" in row}
    assert described == supported == {"check_mode", "diff_mode", "idempotent"}
