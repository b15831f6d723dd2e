# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's copy beside a load is whole: what a part of it imports is a part of it, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.package import copy_to


def imported(file: Path) -> Iterator[Path]:
    """Where each relative import of a file looks, without an ending."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            inside = [package / name.name for name in node.names]
            yield from [package] if package.with_suffix(".py").exists() else inside


def test_all_that_a_part_imports_is_there(tmp_path: Path) -> None:
    copy_to(tmp_path)
    files = sorted(tmp_path.rglob("*.py"))
    lacking = {
        f"{file.relative_to(tmp_path)}: {path.relative_to(tmp_path)}"
        for file in files
        for path in imported(file)
        if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists()
    }
    assert lacking == set()
    assert len(files) > 50
