# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of the command line that no role reads, and that look as if one should."""

from __future__ import annotations

DOCUMENTATION = r"""
name: misspelt
author:
  - The iter8.kfserving contributors (@iter8-tools)
version_added: "1.0.0"
short_description: Find variables of the command line that were meant to be ones of this collection
description:
  - Ansible takes any variable, and ignores one that nothing reads. A rollout with C(rollout_load_rat=500) has
    the default rate, and with C(iter8_kfserving_kubeconfg) it is one on the sandbox.
  - Tells of the variables given with C(-e) that begin with C(iter8_kfserving_) and are none of the family,
    and of any that is nearly one of the roles' options. Others are the user's own.
options:
  _terms:
    description: None are taken.
"""

EXAMPLES = r"""
- name: Refuse what is misspelt
  ansible.builtin.assert:
    that: query('iter8.kfserving.misspelt') | length == 0
"""

RETURN = r"""
_raw:
  description: A clause for each such variable, with the name that is nearest.
  type: list
  elements: str
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

ROLES = Path(__file__).resolve().parents[2] / "roles"
FAMILY = "iter8_kfserving_"
# One letter in ten that is wrong, missing or too many. What is farther off may be a name of the user's own.
NEAR = 0.9
# Within the family any name is meant to be one of it, and the nearest is at least a hint.
AKIN = 0.6
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def options() -> set[str]:
    """The names that the roles' argument specifications have."""
    names: set[str] = set()
    for file in ROLES.glob("*/meta/argument_specs.yml"):
        specs = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)["argument_specs"]
        for entry in specs.values():
            names.update(entry.get("options", ()))
    return names


def misspelt(given: Iterable[str], known: set[str]) -> list[str]:
    """A clause for each name that was meant to be a known one."""
    found = []
    for name in sorted(set(given) - known):
        within = name.startswith(FAMILY)
        near = difflib.get_close_matches(name, sorted(known), 1, AKIN if within else NEAR)
        if near or within:
            found.append(f"there is no variable {name}" + (f", but {near[0]}" if near else ""))
    return found


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        return misspelt(map(str, load_extra_vars(self._loader)), options())
