# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions that are supported are the same wherever they are named, and what is needed is bounded."""

from __future__ import annotations

import re
import sys
from importlib.metadata import metadata, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from ansible_collections.iter8.kfserving.tests import versions
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.unit.test_layers import OURS, imports, imports_of

# Packages by the name under which they are imported, where that is another.
INSTALLED_AS = {"yaml": "pyyaml"}
# What brings the plugins to where they run.
GIVEN = {"ansible", "ansible_collections"}


def supported() -> tuple[int, int]:
    """The oldest and the newest minor version of ansible-core 2 that the README names."""
    found = re.search(r"ansible-core 2\.(\d+) to 2\.(\d+)", (ROOT / "README.md").read_text())
    assert found, "the README does not name the versions"
    return int(found[1]), int(found[2])


def rows() -> list[dict[str, str]]:
    """The rows of CI's matrices: an ansible-core and a Python each."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    return [row for job in jobs for row in job.get("strategy", {}).get("matrix", {}).get("include", [])]


def requirements(name: str) -> dict[str, str]:
    """The packages of a file of requirements, each with its bounds; files that it includes are left out."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", line) for line in lines if line and line[0] != "-"]
    return {each[1].lower(): each[2] for each in found if each}


def test_ansible_core_is_the_same_everywhere() -> None:
    oldest, newest = supported()
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    assert runtime["requires_ansible"] == f">=2.{oldest}.0"
    assert requirements("requirements.txt")["ansible-core"] == f">=2.{oldest},<2.{newest + 1}"
    ignores = {path.stem.removeprefix("ignore-2.") for path in ROOT.glob("tests/sanity/ignore-*.txt")}
    assert ignores == {str(minor) for minor in range(oldest, newest + 1)}


def test_ci_runs_every_version_with_the_targets_of_make() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    oldest, newest = supported()
    versions = [f"2.{minor}" for minor in range(oldest, newest + 1)]
    for job in (jobs[name] for name in ("sanity", "test", "e2e")):
        assert [row["ansible"] for row in job["strategy"]["matrix"]["include"]] == versions
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {run.removeprefix("make ") for run in runs if run.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text()
    load, simulations = "versions VERSIONS_ARGS=load", 'simulations SIMULATIONS_ARGS="--rollouts 3 --seed 1"'
    assert targets == {"lint", "sanity", "test", "e2e", "docs", "build", "molecule", load, simulations}
    assert all(re.search(rf"^{target.split()[0]}:", makefile, re.MULTILINE) for target in targets)


def test_the_oldest_python_is_the_same_everywhere() -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"Python 3\.(\d+) or newer", readme)
    assert found
    assert f"version_info < (3, {found[1]})" in (ROOT / "tests/setup.sh").read_text()
    assert f'python_version = "3.{found[1]}"' in (ROOT / "pyproject.toml").read_text()
    assert min(int(row["python"].partition(".")[2]) for row in rows()) == int(found[1])


def test_versions_are_tried_on_pythons_that_they_support() -> None:
    oldest, newest = supported()
    assert list(versions.PYTHONS) == list(range(oldest, newest + 1))
    for row in rows():
        core, python = (int(row[name].partition(".")[2]) for name in ("ansible", "python"))
        assert python in versions.PYTHONS[core], row
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    pythons = jobs["load"]["steps"][1]["with"]["python-version"].split()
    assert {int(each.partition(".")[2]) for each in pythons} == set(versions.LOAD)
    readme = (ROOT / "README.md").read_text()
    assert f"(`load_test`) needs Python 3.{versions.LOAD[0]}" in readme
    assert set().union(*versions.PYTHONS.values()) <= set(versions.LOAD)


def test_what_is_tried_of_an_ansible_core_here_agrees_with_its_package() -> None:
    package = metadata("ansible-core")
    minor = int(package["Version"].split(".")[1])
    named = [
        re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", each)
        for each in package.get_all("Classifier")
    ]
    assert tuple(int(each[1]) for each in named if each) == versions.PYTHONS[minor]


def test_the_oldest_is_tried_on_the_oldest_python_that_it_supports_and_others_on_the_newest() -> None:
    oldest, newest = supported()
    here = range(9, 14)
    assert versions.python_for(versions.Part(core=oldest), here) == min(versions.PYTHONS[oldest])
    assert versions.python_for(versions.Part(core=newest), here) == 13
    assert versions.python_for(versions.Part(python=9), here) == 9


def test_a_part_without_a_python_is_named_as_not_run() -> None:
    for part, needs in ((versions.Part(core=16), "3.10 or 3.11 or 3.12"), (versions.Part(python=14), "3.14")):
        with pytest.raises(versions.NotHere, match=rf"needs Python {needs}, which is not on this machine"):
            versions.python_for(part, [9, 13])


def test_what_is_to_be_tried_is_named_by_words() -> None:
    oldest, newest = (versions.Part(core=minor) for minor in supported())
    load = [versions.Part(python=minor) for minor in versions.LOAD]
    assert versions.parts(["oldest", "newest", "load", "3.9", "oldest"]) == [oldest, newest, *load]
    assert versions.parts(["2.18"]) == [versions.Part(core=18)]
    for word in ("", "2.15", "2.99", "3.8", "4.1", "young"):
        with pytest.raises(ValueError, match="is none of: oldest, newest, load"):
            versions.parts([word])


def test_a_run_says_what_it_did_not_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        versions, "pythons_here", lambda: {9: "/nowhere/python3.9", 10: "/nowhere/python3.10"}
    )

    def core(minor: int, program: str) -> str:
        raise versions.Failed("exit code 2 from: nothing")

    monkeypatch.setattr(versions, "try_core", core)
    monkeypatch.setattr(versions, "try_load", lambda minor, program: "compiled")
    assert versions.main(["oldest", "newest", "3.9"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "versions: 1 passed, 1 failed, 1 NOT RUN on this machine"
    assert any(
        "NOT RUN: ansible-core 2.21: it needs Python 3.12 or 3.13 or 3.14" in line for line in said[-4:]
    )
    assert any("FAILED: ansible-core 2.16: exit code 2" in line for line in said[-4:])
    assert versions.main(["3.9", "newest"]) == 0
    assert versions.main(["newest"]) == 1, "nothing was run"


def reached(paths: list[Path]) -> set[str]:
    """The packages that these files import, by way of the collection's own files too."""
    plugins, top = ROOT / "plugins", OURS.removesuffix("plugins.")
    found, seen, left = set(), set(paths), list(paths)
    while left:
        path = left.pop()
        for one in imports_of(path, plugins if plugins in path.parents else ROOT):
            parts = one.name.removeprefix(top).split(".")
            files = [ROOT.joinpath(*names).with_suffix(".py") for names in (parts, parts[:-1])]
            if one.name.startswith(top):
                left += [file for file in files if file.is_file() and file not in seen]
                seen.update(files)
            else:
                found.add(parts[0])
    return found


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python 3.10 does not know which package most modules belong to"
)
def test_what_is_tried_on_each_python_needs_what_is_installed_for_it_and_no_ansible() -> None:
    files = [path for folder in versions.LOAD_TESTS for path in (ROOT / folder).rglob("*.py")]
    needed = reached([*files, ROOT / "tests/conftest.py"]) - sys.stdlib_module_names - {"__future__"}
    given = {_package(line) for name in versions.LOAD_NEEDS for line in (name, *(requires(name) or ()))}
    packages = packages_distributions()
    assert {name for name in needed if not set(map(_package, packages.get(name, ()))) & given} == set()


def _package(requirement: str) -> str:
    """The name of a package as indexes spell it."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower().replace("_", "-")


def test_no_release_of_a_tool_turns_a_fresh_clone_red() -> None:
    for name, bounds in requirements("requirements-dev.txt").items():
        assert re.search(r"<|==", bounds), f"{name} has no upper bound"


def test_an_execution_environment_gets_what_the_plugins_import_and_no_more() -> None:
    """All but the sandbox, which runs a control plane of its own and is for a clone."""
    meta = yaml.safe_load((ROOT / "meta/execution-environment.yml").read_text())
    assert meta == {"version": 1, "dependencies": {"python": "meta/ee-requirements.txt"}}
    needed = {
        one.name.partition(".")[0]
        for one in imports(ROOT / "plugins")
        if "_sandbox" not in one.file and "_sandbox" not in one.name
    } - GIVEN
    packages = {INSTALLED_AS.get(name, name) for name in needed - sys.stdlib_module_names - {"__future__"}}
    listed = requirements("meta/ee-requirements.txt")
    assert set(listed) == packages
    clone = requirements("requirements.txt")
    assert listed == {name: clone[name] for name in listed}, "both ask for the same versions"


def test_what_is_private_says_so() -> None:
    rooms = sorted(ROOT.glob("plugins/module_utils/_*/__init__.py"))
    assert {path.parent.name for path in rooms} == {
        path.name for path in (ROOT / "plugins/module_utils").iterdir() if is_room(path)
    }
    for path in rooms:
        assert "**PRIVATE** to the collection" in path.read_text(), path.parent.name


def is_room(path: Path) -> bool:
    return path.is_dir() and path.name != "__pycache__"
