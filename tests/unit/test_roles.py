# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role documents is what it does: its argument specs beside its defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/tasks/main.yml"))


def load(path: Path) -> dict[str, Any]:
    """A YAML file's mapping; empty where there is no file."""
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def entry_points(role: Path) -> dict[str, dict[str, Any]]:
    """The role's documented entry points, each with its options."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    return {name: spec.get("options", {}) for name, spec in specs.items()}


def has_words_only(default: Any) -> bool:
    return (isinstance(default, list) and default != []) or "{{" in str(default)


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_roles() -> None:
    assert {role.name for role in ROLES} >= {"sandbox", "kfserving", "iter8", "rollout", "verify", "teardown"}


def test_every_default_is_documented(role: Path) -> None:
    options = {name for options in entry_points(role).values() for name in options}
    assert sorted(set(load(role / "defaults/main.yml")) - options) == []


def test_documented_defaults_are_the_real_ones(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    for entry, options in entry_points(role).items():
        documented = {name: option["default"] for name, option in options.items() if "default" in option}
        assert documented == {name: defaults.get(name) for name in documented}, entry
        # Lists of steps and files inside the collection are told in words.
        optional = {name for name, option in options.items() if not option.get("required")}
        short = {name for name in optional & set(defaults) if not has_words_only(defaults[name])}
        assert sorted(short - set(documented)) == [], entry


def test_an_option_is_required_or_has_a_default(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    for entry, options in entry_points(role).items():
        for name, option in options.items():
            assert option.get("required", False) or name in defaults, f"{entry}: {name} is unset by default"
            assert not (option.get("required") and "default" in option), f"{entry}: {name}"


def test_variables_begin_with_the_role(role: Path) -> None:
    names = {name for options in entry_points(role).values() for name in options}
    names |= {*load(role / "defaults/main.yml"), *load(role / "vars/main.yml")}
    assert [name for name in sorted(names) if not name.startswith(f"{role.name}_")] == []


def test_entry_points_are_task_files(role: Path) -> None:
    """Whatever the playbooks import from outside is documented, and nothing else is."""
    entries = set(entry_points(role))
    assert {f"{entry}.yml" for entry in entries} <= {path.name for path in (role / "tasks").glob("*.yml")}
    texts = [path.read_text() for path in ROOT.glob("playbooks/*.yml")]
    imported = {
        found
        for text in texts
        for found in re.findall(rf"name: iter8\.kfserving\.{role.name}\n +tasks_from: (\w+)", text)
    }
    # teardown.yml checks the cluster's name alone, with main's arguments.
    assert imported - entries <= ({"cluster"} if role.name == "preflight" else set())


def test_the_readme_sets_what_is_required(role: Path) -> None:
    text = (role / "README.md").read_text()
    example = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])[0]
    options = entry_points(role)["main"]
    given = set(example["vars"])
    assert example["ansible.builtin.include_role"]["name"] == f"iter8.kfserving.{role.name}"
    assert given <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= given
