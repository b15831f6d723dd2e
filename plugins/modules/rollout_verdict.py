#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_verdict
short_description: Decide whether a rollout lost a request
description:
  - Weighs what a rollout left behind, the load test's result, the timeline, the Experiment and the
    InferenceService, and says V(pass), V(fail) or V(inconclusive), with every reason and the figures behind
    it.
  - It is V(fail) where a request was lost, or where the rollout did not end as expected. It is
    V(inconclusive) where nothing was seen to be lost but the evidence does not cover the claim, such as a
    load test that did not span the whole rollout. Inconclusive is not a pass.
  - Evidence that is missing or damaged makes the verdict inconclusive. The module itself fails only for wrong
    input. What a verdict means for the play is for the play to say, see the examples.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - iter8.kfserving.evidence
  - iter8.kfserving.thresholds
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  expect_winner:
    description: Which version must win and end with all the traffic.
    type: str
    choices: [canary, baseline]
    default: canary
  expect_iterations:
    description: How many iterations the Experiment must run. By default as many as it planned.
    type: int
  dest:
    description: Where to write the verdict as JSON. Its folder must exist. The file is replaced as a whole.
    type: path
attributes:
  check_mode:
    details:
      - Decides, and writes nothing.
  idempotent:
    details:
      - The same evidence gives the same verdict.
seealso:
  - module: iter8.kfserving.rollout_report
  - module: iter8.kfserving.load_test
"""

EXAMPLES = r"""
- name: Decide
  iter8.kfserving.rollout_verdict:
    load: build/e2e/load.json
    timeline: build/e2e/timeline.jsonl
    experiment: build/e2e/experiment.json
    inferenceservice: build/e2e/inferenceservice.json
    observations: build/e2e/observations.jsonl
    thresholds:
      latency:
        99: 0.5
    dest: build/e2e/verdict.json
  register: decided

- name: End the play unless it is a pass
  ansible.builtin.assert:
    that: decided.verdict.verdict == 'pass'
    fail_msg: "{{ decided.verdict.summary }}"
"""

RETURN = r"""
verdict:
  description: The verdict, as O(dest) has it.
  returned: success
  type: dict
  contains:
    verdict:
      description: V(pass), V(fail) or V(inconclusive).
      type: str
      sample: pass
    summary:
      description: One line in words.
      type: str
      sample: >-
        512 requests, none lost (loss rate below 0.6 % with 95 % confidence);
        longest gap between successes 0.21 s; canary promoted after 12 iterations
    reasons:
      description: Everything that speaks against a pass, the worst first.
      type: list
      elements: dict
      contains:
        rule:
          description: The name of the rule.
          type: str
          sample: nothing_lost
        verdict:
          description: What this alone makes of the rollout, V(fail) or V(inconclusive).
          type: str
        text:
          description: The reason, in words.
          type: str
        figures:
          description: The figures behind it.
          type: dict
    runbooks:
      description: The files of the collection that say what to do about the reasons; none for a pass.
      type: list
      elements: str
      sample: [docs/runbooks/requests-were-lost.md]
    claims:
      description: Every rule that applied, what it claims, whether that holds, and what was found.
      type: list
      elements: dict
    requests:
      description: How many requests were sent and came to an end.
      type: int
    failed:
      description: How many of them were not answered as asked.
      type: int
    loss_rate_upper_bound_95:
      description: With 95 % confidence the loss rate is below this, from 0 to 1.
      type: float
    longest_success_gap_seconds:
      description: The longest time between two successes.
      type: float
    revisions:
      description: By revision, how many requests it answered, how many of them failed, and its role.
      type: dict
    phases:
      description: By phase of the rollout, its time, weights, requests and failures.
      type: list
      elements: dict
    classes:
      description: Failures by class.
      type: dict
    failures:
      description: The failures on record by class, status, flags, revision, phase and connection_mode.
      type: list
      elements: dict
    connection_modes:
      description: >-
        Requests and failures on new and on keep-alive connections, each with its bound on the loss and its
        longest gap between successes.
      type: dict
    payloads:
      description: Requests and failures by payload, where the load sent several.
      type: dict
    streamed:
      description: >-
        Of streamed answers the tokens, and median and 99th percentile of first tokens and of the gaps between
        tokens, in seconds; none where none were asked for.
      type: dict
    outages:
      description:
        - From the last success before to the first success after on one kind of connection, in seconds
          since the epoch, with the phase and the classes of what failed.
      type: list
      elements: dict
    causes:
      description:
        - For each window of losses what was seen to happen around it, nearest first, and the gateway's flags.
          What happened around a loss need not be why.
      type: list
      elements: dict
    generator:
      description: How well the load generator itself did, its rates, its lateness and its stalls.
      type: dict
    named_by:
      description: Who named the revisions, V(answers) or V(access_log); none if nobody did.
      type: str
    gateway:
      description: What the gateway's access log has of this load; none without O(access_log).
      type: dict
    objectives:
      description: The Experiment's objectives and how each version did.
      type: list
      elements: dict
    driver:
      description:
        - What the driver of a progressive rollout did and why, its mode, steps, gates, patches and seconds to
          roll back; none where another one drove.
      type: dict
    thresholds:
      description: The thresholds that were applied.
      type: dict
    not_covered:
      description: What the result does not tell.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._report.arguments import EVIDENCE, THRESHOLDS
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.judge import judge

ARGUMENTS = {
    **EVIDENCE,
    "thresholds": {"type": "dict", "default": {}, "options": THRESHOLDS},
    "expect_winner": {"type": "str", "choices": ["canary", "baseline"], "default": "canary"},
    "expect_iterations": {"type": "int"},
    "dest": {"type": "path"},
}


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**judge(module.params, module.check_mode))
    except ArtefactError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
