# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a list of rollouts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_list_problems
author:
  - The iter8.kfserving contributors (@iter8-tools)
version_added: "1.0.0"
short_description: What keeps a list of rollouts from being tried
description:
  - Every problem of a C(rollout_list), as a sentence that names its rollout. What only the cluster can tell,
    or a file that is named, is not among them.
positional: known, taken
options:
  _input:
    description: The list of rollouts, each a mapping with a C(name) and variables.
    type: list
    elements: dict
    required: true
  known:
    description: The variables that a rollout may have beside its C(name).
    type: list
    elements: str
    required: true
  taken:
    description: The names that no rollout may have.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse a list that cannot be rolled out
  ansible.builtin.assert:
    that: rollout_list | iter8.kfserving.rollout_list_problems(['rollout_namespace']) | length == 0
"""

RETURN = r"""
_value:
  description: The problems; empty where there are none.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.rollout_list import problems


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollout_list_problems": problems}
