# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests prove what is to be proven."""

from __future__ import annotations

DOCUMENTATION = r"""
name: requests_needed
author:
  - The iter8.kfserving contributors (@iter8-tools)
version_added: "1.0.0"
short_description: How many requests it takes to exclude a loss rate
description:
  - The fewest requests with which P(iter8.kfserving.loss_bound#filter) is at most the bound asked for.
positional: lost
options:
  _input:
    description: The loss rate to exclude, above 0 and below 1.
    type: float
    required: true
  lost:
    description: How many requests may be lost at that.
    type: int
    default: 0
  confidence:
    description: How sure to be, above 0 and below 1.
    type: float
    default: 0.95
seealso:
  - plugin: iter8.kfserving.loss_bound
    plugin_type: filter
"""

EXAMPLES = r"""
- name: At which rate does a rollout of five minutes prove that less than one request in a thousand is lost?
  ansible.builtin.debug:
    msg: "{{ (0.001 | iter8.kfserving.requests_needed / 300) | round(0, 'ceil') }} requests a second"
  # 10.0 requests a second
"""

RETURN = r"""
_value:
  description: The number of requests.
  type: int
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import requests_needed


def needed(bound: Any, lost: Any = 0, confidence: Any = 0.95) -> int:
    """The filter; AnsibleFilterError for what is no bound, no count or no confidence."""
    try:
        return requests_needed(float(bound), int(lost), float(confidence))
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"iter8.kfserving.requests_needed: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"requests_needed": needed}
