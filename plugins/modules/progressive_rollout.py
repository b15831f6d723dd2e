#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: progressive_rollout
short_description: Roll out a new version of an InferenceService step by step, as far as the evidence goes
description:
  - Moves the traffic of an InferenceService to a new version in O(steps), asks O(gates) at each, and
    promotes the canary or rolls it back. Shows live what it does and what it waits for.
  - In Knative mode (KServe, and KFServing 0.5 and 0.6) by C(canaryTrafficPercent), in Standard mode by
    C(spec.canary) (KServe from 0.21 on, with the Gateway API). What would lose requests is refused before
    anything is changed, with the reason.
  - A gate passes, fails, or cannot tell yet. However often it is asked, the probability of a wrong decision
    stays within O(error_rates).
  - What is rolled out already is left alone. In check mode it tells the exact patches of the whole plan,
    and how long each step takes at least.
  - Plan and state are kept in the cluster, in a ConfigMap named after the InferenceService with the suffix
    C(-rollout). Run again after whatever interruption, on this machine or another, the same task goes on
    where it was. A Lease of the same name sees to it that only one drives.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.inferenceservice
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  state:
    description:
      - V(present) rolls the new version out, or goes on with it.
      - The others may be asked at any moment from another terminal. Whoever drives takes them up; where
        nobody does, this task does it.
      - V(paused) keeps the split as it is. A gate that fails still takes the canary back.
      - V(resumed) goes on after a pause or a hold, with the InferenceService as it is now.
      - V(promoted) no longer asks the gates, and promotes the canary.
      - V(aborted) gives the baseline everything again. It does so after the promotion, too, in Knative
        mode.
      - V(released) lets other playbooks go on with what O(lease_seconds) has kept for this one.
    type: str
    choices: [present, paused, resumed, promoted, aborted, released]
    default: present
  predictor:
    description:
      - The fields of C(spec.predictor) that make the new version, as a JSON merge patch; V(null) removes
        one.
      - Needed with O(state=present).
    type: dict
  steps:
    description:
      - The canary's shares, which rise. With a last one of 100 it is watched once it has everything.
    type: list
    elements: dict
    default: [{percent: 5}, {percent: 25}, {percent: 50}]
    suboptions:
      percent:
        description: The canary's share.
        type: int
        required: true
      seconds:
        description: How long the step takes at least.
        type: float
        default: 30
      answers:
        description: How many answers of the canary's it takes at least.
        type: int
        default: 0
      pause:
        description: Whether a person has to say that it goes on, by O(state=resumed).
        type: bool
        default: false
      deadline:
        description: How many seconds the gates may take in all; then O(on_inconclusive).
        type: float
        default: 1800
  gates:
    description:
      - What the canary must keep at each step.
      - By default at most 1 % of its requests lost, a 95th percentile of at most 1.5 times the baseline's
        in the same seconds, the wanted split, and no restarts.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - V(losses), the part of its requests that the canary loses. Failures that name nobody count as
            its.
          - V(latency), a quantile of response times, as a ratio to the baseline's or in seconds.
          - V(split), the share of the answers that the canary gives against the wanted one.
          - V(pods), whether the canary's pods are ready and have not been restarted.
          - V(query), the answer of Prometheus to a query. No data is not good, and not bad.
        type: str
        choices: [losses, latency, split, pods, query]
        required: true
      name:
        description: What it is called. By default its type.
        type: str
      max_rate:
        description: Of V(losses), the allowed rate, from 0 to 1. By default 0.01.
        type: float
      unnamed:
        description:
          - Of V(losses), whether failures that name no revision count as the canary's. By default they do.
        type: bool
      quantile:
        description: Of V(latency), from 0 to 1. By default 0.95.
        type: float
      max_ratio:
        description: Of V(latency) and V(query), how many times the baseline's it may be.
        type: float
      max_seconds:
        description: Of V(latency), how long it may be.
        type: float
      tolerance:
        description: Of V(split), in points from 0 to 1. By default 0.05, and less where the share is small.
        type: float
      relative:
        description: Of V(split), the same as a part of the wanted share. By default 0.5.
        type: float
      max_restarts:
        description: Of V(pods). By default 0.
        type: int
      query:
        description:
          - Of V(query), in PromQL; C($canary), C($baseline), C($name) and C($namespace) are put in.
        type: str
      baseline_query:
        description: Of V(query), that of the baseline, for O(gates[].max_ratio).
        type: str
      template:
        description:
          - Of V(query), a query by its name, V(knative-failures), V(knative-p99), V(istio-failures),
            V(istio-p99), V(envoy-failures) or V(kserve-p99).
        type: str
      max:
        description: Of V(query), the largest value allowed.
        type: float
      min:
        description: Of V(query), the smallest value allowed.
        type: float
      successes:
        description: Of V(query), how many good answers in a row it takes. By default 3.
        type: int
      failures:
        description: Of V(query), how many bad answers in a row it takes. By default 2.
        type: int
      interval:
        description: Of V(query), seconds between two of them. By default 15.
        type: float
  on_failure:
    description:
      - With V(rollback) the baseline gets everything again when a gate fails, the canary does not get
        ready, or O(deadline) has passed. With V(hold) the split stays as it is, for a person to decide.
    type: str
    choices: [rollback, hold]
    default: rollback
  on_inconclusive:
    description:
      - What follows when a step's deadline has passed and its gates cannot tell, V(hold) or as a failure.
    type: str
    choices: [hold, fail]
    default: hold
  promote:
    description:
      - With V(manual) the promotion waits for O(state=promoted) or O(state=resumed). Until then the gates of
        the last step before it go on being asked.
    type: str
    choices: [automatic, manual]
    default: automatic
  deadline:
    description: How many seconds the rollout may take in all, but for the time that it waits for a person.
    type: float
    default: 7200
  ready_timeout:
    description: How many seconds each patch may take to show its effect.
    type: float
    default: 600
  settle:
    description: How many seconds a split must have been seen before the evidence begins.
    type: float
    default: 2
  error_rates:
    description:
      - The probabilities of a wrong decision by the gates of types losses, latency and split together, over
        the whole rollout, however often they are asked.
    type: dict
    suboptions:
      wrong_promotion:
        description: Of a canary that breaks a gate's limit being promoted.
        type: float
        default: 0.05
      wrong_rollback:
        description: Of a canary that keeps all limits being rolled back.
        type: float
        default: 0.05
  canary_name:
    description: In Standard mode, what the canary is called. By default a name made from O(predictor).
    type: str
  drain:
    description:
      - In Standard mode KServe ends pods while the gateway still sends to them, so servers must go on
        serving for a while after they are told to end.
      - With V(required) a container without a preStop hook is refused. V(expected) is for servers that do
        so by themselves, V(ignored) for who accepts the losses.
    type: str
    choices: [required, expected, ignored]
    default: required
  load_test:
    description: The load of M(iter8.kfserving.load_test) on this host whose evidence counts.
    type: str
  load_state_dir:
    description: Folder for the state of loads, as given to M(iter8.kfserving.load_test).
    type: path
  names:
    description:
      - What the load's answers call the two. By default the names of their revisions; in Standard mode the
        baseline's are those that answered before, and every new one is the canary's. Where none had
        answered when the rollout began, nobody can be told by them without this.
    type: dict
    suboptions:
      baseline:
        description: The baseline.
        type: str
      canary:
        description: The canary.
        type: str
  rate:
    description: For check mode, the load's requests a second, from which it tells how long each step takes.
    type: float
  prometheus:
    description: The server for the gates of type query.
    type: dict
    suboptions:
      url:
        description: Its address, without C(/api/v1).
        type: str
        required: true
      token:
        description: A bearer token.
        type: str
      ca_file:
        description: The authority that signed its certificate.
        type: path
  until:
    description:
      - With V(step) it returns once a step is passed, so that a playbook can do something in between and
        call it again. With V(end) it returns when all is over.
    type: str
    choices: [step, end]
    default: end
  expect:
    description:
      - Which endings are no failure of the task, V(promoted), V(decided) (also rolled back), or V(any).
    type: str
    choices: [promoted, decided, any]
    default: promoted
  hold_seconds:
    description: How many seconds to wait, in a pause or a hold, for a person to say what to do.
    type: float
    default: 0
  timeout:
    description:
      - How many seconds this task may take. What it has not done by then, the next one goes on with.
      - By default O(deadline) and O(hold_seconds), and three times O(ready_timeout), as a rollout that is not
        over by its deadline begins to go back only then, in up to three patches.
    type: int
  holder:
    description: Who drives, as others see it. By default this host and the playbook's process.
    type: str
  lease_seconds:
    description:
      - For how many seconds the rollout stays this playbook's once the task has returned at the end of a
        step, or held, for what the playbook does in between. Others are refused meanwhile, but what a person
        asks is done at once.
    type: float
    default: 0
  playbook:
    description:
      - The playbook that this task is of, for O(lease_seconds). Set by the action plugin of this module.
    type: str
  progress_file:
    description: A file to which each transition is appended as one line of JSON, as it happens.
    type: path
seealso:
  - module: iter8.kfserving.load_test
  - module: iter8.kfserving.rollout_verdict
"""

EXAMPLES = r"""
- name: Roll out the second version
  iter8.kfserving.progressive_rollout:
    kubeconfig: ~/.kube/config
    context: staging
    name: iris
    predictor:
      model:
        storageUri: gs://models/iris/2
    steps:
      - percent: 5
      - percent: 50
        seconds: 300
      - percent: 100
        seconds: 60
    gates:
      - type: losses
        max_rate: 0.005
      - type: latency
        quantile: 0.99
        max_ratio: 1.3
      - type: pods
      - type: query
        template: istio-failures
        max: 0.01
    prometheus:
      url: https://prometheus.example.com
      token: "{{ prometheus_token }}"
    load_test: nightly

- name: Take it back, from another terminal
  iter8.kfserving.progressive_rollout:
    kubeconfig: ~/.kube/config
    context: staging
    name: iris
    state: aborted
"""

RETURN = r"""
outcome:
  description:
    - How it stands, V(promoted), V(rolled_back), V(held) (a person is needed), V(step) (one is passed),
      V(timeout), V(abandoned) (there was nothing to drive any more), V(pending) (in check mode), or the
      state asked for.
  type: str
  returned: always, but for wrong input
  sample: promoted
message:
  description: Why, in one clause.
  type: str
  returned: always, but for wrong input
driver:
  description:
    - What was done and why, with C(mode), C(steps), C(gates), C(patches), C(cause) and C(rollback_seconds),
      as C(verdict.json) has it.
  type: dict
  returned: always, but for wrong input
plan:
  description: Each move with its patch and the least number of seconds that it takes.
  type: list
  elements: dict
  returned: in check mode, unless there is nothing to do
under_way:
  description: Whether it would go on with a rollout that was begun before.
  type: bool
  returned: in check mode, unless there is nothing to do
way_back:
  description: The patches of a roll-back, before and after the promotion.
  type: dict
  returned: in check mode, unless there is nothing to do
transitions:
  description: What happened, in order, as in M(iter8.kfserving.experiment_wait).
  type: list
  elements: dict
  returned: always, but for wrong input
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.ensure import (
    progressive_rollout,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module

STEP = {
    "percent": {"type": "int", "required": True},
    "seconds": {"type": "float", "default": 30},
    "answers": {"type": "int", "default": 0},
    "pause": {"type": "bool", "default": False},
    "deadline": {"type": "float", "default": 1800},
}
GATE = {
    "type": {"type": "str", "choices": ["losses", "latency", "split", "pods", "query"], "required": True},
    "name": {"type": "str"},
    "max_rate": {"type": "float"},
    "unnamed": {"type": "bool"},
    "quantile": {"type": "float"},
    "max_ratio": {"type": "float"},
    "max_seconds": {"type": "float"},
    "tolerance": {"type": "float"},
    "relative": {"type": "float"},
    "max_restarts": {"type": "int"},
    "query": {"type": "str"},
    "baseline_query": {"type": "str"},
    "template": {"type": "str"},
    "max": {"type": "float"},
    "min": {"type": "float"},
    "successes": {"type": "int"},
    "failures": {"type": "int"},
    "interval": {"type": "float"},
}
ERROR_RATES = {
    "wrong_promotion": {"type": "float", "default": 0.05},
    "wrong_rollback": {"type": "float", "default": 0.05},
}
PROMETHEUS = {
    "url": {"type": "str", "required": True},
    "token": {"type": "str", "no_log": True},
    "ca_file": {"type": "path"},
}
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "api_version": {"type": "str"},
    "state": {
        "type": "str",
        "choices": ["present", "paused", "resumed", "promoted", "aborted", "released"],
        "default": "present",
    },
    "predictor": {"type": "dict"},
    "steps": {
        "type": "list",
        "elements": "dict",
        "options": STEP,
        "default": [{"percent": 5}, {"percent": 25}, {"percent": 50}],
    },
    "gates": {"type": "list", "elements": "dict", "options": GATE},
    "on_failure": {"type": "str", "choices": ["rollback", "hold"], "default": "rollback"},
    "on_inconclusive": {"type": "str", "choices": ["hold", "fail"], "default": "hold"},
    "promote": {"type": "str", "choices": ["automatic", "manual"], "default": "automatic"},
    "deadline": {"type": "float", "default": 7200},
    "ready_timeout": {"type": "float", "default": 600},
    "settle": {"type": "float", "default": 2},
    "error_rates": {"type": "dict", "options": ERROR_RATES},
    "canary_name": {"type": "str"},
    "drain": {"type": "str", "choices": ["required", "expected", "ignored"], "default": "required"},
    "load_test": {"type": "str"},
    "load_state_dir": {"type": "path"},
    "names": {
        "type": "dict",
        "options": {"baseline": {"type": "str"}, "canary": {"type": "str"}},
    },
    "rate": {"type": "float"},
    "prometheus": {"type": "dict", "options": PROMETHEUS},
    "until": {"type": "str", "choices": ["step", "end"], "default": "end"},
    "expect": {"type": "str", "choices": ["promoted", "decided", "any"], "default": "promoted"},
    "hold_seconds": {"type": "float", "default": 0},
    "timeout": {"type": "int"},
    "holder": {"type": "str"},
    "lease_seconds": {"type": "float", "default": 0},
    "playbook": {"type": "str"},
    "progress_file": {"type": "path"},
}


def main() -> None:
    run_module(ARGUMENTS, progressive_rollout, required_if=[("state", "present", ["predictor"])])


if __name__ == "__main__":
    main()
