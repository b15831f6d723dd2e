# SPDX-License-Identifier: GPL-3.0-or-later
"""The code that a sandbox's processes run."""

from __future__ import annotations

import shutil
from pathlib import Path

from .. import paths

COLLECTION = "ansible_collections/iter8/kfserving/plugins/module_utils"


def copy(where: paths.Layout, source: Path) -> None:
    """Give the sandbox its own copy of the code, so that it does not change under running processes."""
    if not (source / "_sandbox").is_dir():
        raise paths.StateError(
            f"{source} is not the plugins/module_utils folder of the collection iter8.kfserving: "
            "the sandbox's processes need it. Run the task on the controller (connection: local)."
        )
    if where.lib.exists():
        return
    fresh = where.root / ".lib"
    shutil.rmtree(fresh, ignore_errors=True)
    target = fresh / COLLECTION
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in list(target.parents)[: len(Path(COLLECTION).parts) - 1]:
        (folder / "__init__.py").touch()
    # The other collections stay where they are.
    top = fresh / Path(COLLECTION).parts[0] / "__init__.py"
    top.write_text("import pkgutil\n\n__path__ = pkgutil.extend_path(__path__, __name__)\n", encoding="utf-8")
    fresh.rename(where.lib)
