# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefact holds what an installed collection needs, and nothing of a clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

BIN = Path(sys.executable).parent
TOP = {
    "CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json",
    "README.md", "changelogs", "docs", "meta", "playbooks", "plugins", "requirements.txt", "roles", "samples",
}  # fmt: skip


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make build` makes."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: git knows nothing of it")
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(["bash", "tests/build.sh", BIN, folder], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("iter8-kfserving-*.tar.gz"))


@pytest.fixture(scope="module")
def names(artefact: Path) -> list[str]:
    with tarfile.open(artefact) as built:
        return [member.name for member in built.getmembers() if member.isfile()]


def tracked(*folders: str) -> set[str]:
    command = ["git", "ls-files", "-z", "--cached", *folders]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in said.split("\0") if name and (ROOT / name).exists()}


def galaxy(*words: str | Path, cwd: Path) -> str:
    """What `ansible-galaxy collection` prints, with nothing set for Ansible. It must exit with 0."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    command = [BIN / "ansible-galaxy", "collection", *words]
    ended = subprocess.run(command, cwd=cwd, env=bare, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_it_holds_what_it_should_and_nothing_else(names: list[str]) -> None:
    assert {name.partition("/")[0] for name in names} == TOP
    assert [name for name in names if name.endswith((".pyc", ".tar.gz", ".orig", "~"))] == []
    assert [name for name in names if any(part.startswith(".") for part in name.split("/"))] == []


def test_it_holds_all_that_messages_and_the_readme_point_to(names: list[str]) -> None:
    assert tracked("plugins", "roles", "playbooks", "meta", "docs", "samples") - set(names) == set()


def test_it_holds_nothing_that_git_does_not_track(names: list[str]) -> None:
    assert set(names) - tracked() == {"FILES.json", "MANIFEST.json"}


def test_what_else_lies_in_a_clone_stays_out(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, clone], check=True)
    # As it is here, with what is not committed yet.
    shutil.copy2(ROOT / "tests/build.sh", clone / "tests/build.sh")
    junk = (
        "notes.txt",
        "plugins/modules/draft.py",
        "roles/verify/files/secret.key",
        "state/run.json",
        "a.log",
    )
    for name in junk:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text("x")
    # Gone, but git does not know yet.
    (clone / "CODE_OF_CONDUCT.md").unlink()
    subprocess.run(["bash", "tests/build.sh", BIN, "built"], cwd=clone, check=True, capture_output=True)
    with tarfile.open(next(clone.glob("built/*.tar.gz"))) as built:
        held = set(built.getnames())
    assert held & {*junk, "CODE_OF_CONDUCT.md"} == set()
    assert "plugins/modules/load_test.py" in held


def test_it_installs_alone_and_is_found_unchanged(artefact: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    # Forced, since this environment has the clone as an installed collection.
    alone = ("--offline", "--no-deps", "--force", "--collections-path", installed)
    galaxy("install", *alone, artefact, cwd=tmp_path)
    assert [path.name for path in (installed / "ansible_collections").glob("*/*")] == ["kfserving"]
    verify = ("verify", "--offline", "--collections-path", installed, "iter8.kfserving")
    assert "matches the remote" not in galaxy(*verify, cwd=tmp_path), "it was not verified offline"
    with (installed / "ansible_collections/iter8/kfserving/README.md").open("a") as readme:
        readme.write("changed")
    with pytest.raises(AssertionError, match=r"README\.md"):
        galaxy(*verify, cwd=tmp_path)


def test_its_version_is_the_one_of_the_changelog() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert re.fullmatch(r"[1-9]\d*\.\d+\.\d+", version), "a semantic version, of a stable release"
    releases = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())["releases"]
    assert max(releases, key=lambda each: [int(part) for part in each.split(".")]) == version
