# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a number of requests proves."""

from __future__ import annotations

DOCUMENTATION = r"""
name: loss_bound
author:
  - The iter8.kfserving contributors (@iter8-tools)
version_added: "1.0.0"
short_description: The loss rate that a number of requests excludes
description:
  - With this confidence the true loss rate is below what is returned, by Clopper and Pearson, one-sided. It
    is the bound that M(iter8.kfserving.rollout_verdict) states.
  - With none lost it is C(1 - (1 - confidence) ** (1 / requests)), at 95 % about C(3 / requests).
  - It takes losses as independent of each other. Outages are not, so look at the longest gap as well.
positional: lost
options:
  _input:
    description: How many requests were, or will be, sent. None prove nothing, so the bound is V(1.0) then.
    type: int
    required: true
  lost:
    description: How many of them were lost.
    type: int
    default: 0
  confidence:
    description: How sure to be, above 0 and below 1.
    type: float
    default: 0.95
seealso:
  - plugin: iter8.kfserving.requests_needed
    plugin_type: filter
"""

EXAMPLES = r"""
- name: What would half an hour at 20 requests a second prove?
  ansible.builtin.debug:
    msg: "A loss rate below {{ (30 * 60 * 20) | iter8.kfserving.loss_bound }}"
  # A loss rate below 8.321132312228467e-05

- name: Two lost of a thousand, at 99 %
  ansible.builtin.debug:
    msg: "{{ 1000 | iter8.kfserving.loss_bound(2, confidence=0.99) }}"
"""

RETURN = r"""
_value:
  description: The upper bound on the loss rate, from 0 to 1.
  type: float
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.evidence.bounds import (
    loss_rate_upper_bound,
)


def loss_bound(requests: Any, lost: Any = 0, confidence: Any = 0.95) -> float:
    """The filter; AnsibleFilterError for what is no count or no confidence."""
    try:
        return loss_rate_upper_bound(int(lost), int(requests), float(confidence))
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"iter8.kfserving.loss_bound: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"loss_bound": loss_bound}
