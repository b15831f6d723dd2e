# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what a rollout must keep to pass. The role verify says the same, which a test holds."""

from __future__ import annotations


class ModuleDocFragment:
    """C(iter8.kfserving.thresholds): the option of that name."""

    DOCUMENTATION = r"""
options:
  thresholds:
    description: What the rollout must keep to pass. Anything left out has a strict default.
    type: dict
    default: {}
    suboptions:
      max_lost:
        description: How many requests may be lost.
        type: int
        default: 0
      max_gap:
        description:
          - The longest time allowed between two successes, in seconds.
          - By default 2, or three times the interval between two requests where that is longer.
          - It also holds for new and for keep-alive connections apart, each of which may take three times the
            interval between its own requests.
        type: float
      min_requests:
        description: How many requests it takes. With none lost, 300 prove a loss rate below 1 %.
        type: int
        default: 300
      min_requests_per_revision:
        description: How many requests each of the baseline and the canary must have answered.
        type: int
        default: 50
      latency:
        description: Percentile to longest response time in seconds, for instance 99 to 0.5.
        type: dict
        default: {}
      max_first_token:
        description:
          - Of streamed answers, percentile to longest time in seconds from when a request was due to its
            first token, for instance 99 to 1.5.
        type: dict
        default: {}
      max_token_gap:
        description: The same of the time from one token of a stream to the next.
        type: dict
        default: {}
      propagation_seconds:
        description:
          - How long before or after the moment in the timeline a change of the traffic may really have
            happened, in seconds.
          - Requests that close to a change are not held against a revision.
        type: float
        default: 2.0
      share_tolerance:
        description:
          - How far a revision's share of the requests may be from its weight, from 0 to 1, in absolute
            points.
          - It holds along with share_tolerance_relative. At a weight of 50 %, 0.05 allows from 45 to 55 %.
        type: float
        default: 0.05
      share_tolerance_relative:
        description:
          - The same as a part of the weight, or of what is left to 100 % where that is less, from 0 to 1.
          - At a weight of 5 %, 0.5 allows from 2.5 to 7.5 %.
        type: float
        default: 0.5
      max_stall_seconds:
        description: How long the load generator may stand still before an outage could have gone unseen.
        type: float
        default: 1.0
      max_lateness_p99:
        description: How late 99 % of the requests may be sent at most, in seconds.
        type: float
        default: 0.5
      max_unobserved:
        description:
          - For how many seconds in all nothing may have watched the traffic within the shift, from when the
            canary was applied until the expected revision had all the traffic.
          - Between two waits, while the API server was away, and before an observer began or after it ended,
            nothing watches.
        type: float
        default: 1.0
      max_clock_uncertainty:
        description:
          - How uncertain it may be, in seconds, how far two clocks are apart whose times are compared.
        type: float
        default: 0.5
"""
