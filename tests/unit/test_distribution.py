# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefact holds what an installed collection needs, and nothing of a clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

TOP = {
    "CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json",
    "README.md", "changelogs", "docs", "meta", "playbooks", "plugins", "requirements.txt", "roles", "samples",
}  # fmt: skip


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the artefact of what git knows holds."""
    folder = tmp_path_factory.mktemp("built")
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a clone: git knows nothing of it")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / "tree" / name)
    program = Path(sys.executable).with_name("ansible-galaxy")
    command = [program, "collection", "build", "--output-path", folder]
    subprocess.run(command, cwd=folder / "tree", check=True, capture_output=True)
    with tarfile.open(next(folder.glob("iter8-kfserving-*.tar.gz"))) as built:
        return [member.name for member in built.getmembers() if member.isfile()]


def test_it_holds_what_it_should_and_nothing_else(names: list[str]) -> None:
    assert {name.partition("/")[0] for name in names} == TOP
    assert [name for name in names if name.endswith((".pyc", ".tar.gz", ".orig", "~"))] == []
    assert [name for name in names if any(part.startswith(".") for part in name.split("/"))] == []


def test_it_holds_all_that_messages_and_the_readme_point_to(names: list[str]) -> None:
    held = set(names)
    for folder in ("plugins", "roles", "playbooks", "meta", "docs"):
        here = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {name for name in here - held if "__pycache__" not in name} == set(), folder
