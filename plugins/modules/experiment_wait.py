#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: experiment_wait
short_description: Wait for an iter8 Experiment, its promotion or its rollback
description:
  - Waits until an iter8 Experiment is over, with all that follows from it, and shows each transition live.
  - An Experiment of V(iter8.tools/v2alpha1) says that it is completed in the moment in which it launches
    the Job that promotes or rolls back. So this module also waits for that Job, and for the traffic of the
    InferenceService to be all on the revision that iter8 recommended, for O(stable_seconds).
  - It ends at once when the Experiment fails, when the Job of its last handler fails, when the Experiment
    compares a revision with itself, or when the Experiment or the InferenceService is deleted
    or was never there.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.wait
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  name:
    description: The Experiment's name.
    type: str
    required: true
  namespace:
    description: The namespace of the Experiment and of the InferenceService.
    type: str
    default: default
  api_version:
    description: The Experiment's API version.
    type: str
    default: iter8.tools/v2alpha1
  inferenceservice:
    description:
      - The InferenceService whose traffic must end on the recommended revision.
      - Without it the module does not look at traffic.
    type: str
  inferenceservice_api_version:
    description:
      - The InferenceService's API version. By default the one that is served; where that are several, the one
        in which it is there, V(serving.kserve.io/v1beta1) before V(serving.kubeflow.org/v1beta1).
    type: str
  handler_namespace:
    description:
      - The namespace in which iter8 runs its handlers as Jobs.
      - Set it to an empty string to not wait for the Job of the last handler.
    type: str
    default: iter8-system
  timeout:
    description: Seconds to wait in all. The module fails when the Experiment is not over by then.
    type: int
    default: 1800
  expect:
    description:
      - Which endings are good. With any other the module fails, and still returns all of its values.
      - With V(completed) the Experiment must run to its end; a rollback is one, and RV(outcome) tells.
      - With V(promoted) the canary must have been promoted.
      - With V(any) a failed or deleted Experiment is an answer too. A time-out never is.
    type: str
    choices: [any, completed, promoted]
    default: completed
  load_test:
    description:
      - A running load of M(iter8.kfserving.load_test). Each iteration then shows how many requests it
        has sent so far, and how many of them failed.
    type: str
  load_state_dir:
    description: The folder in which that load keeps its state, if it was started with one of its own.
    type: path
seealso:
  - module: iter8.kfserving.inferenceservice_wait
  - module: iter8.kfserving.load_test
"""

EXAMPLES = r"""
- name: Wait for the quickstart's experiment, whichever way it ends
  iter8.kfserving.experiment_wait:
    kubeconfig: ~/.kube/config
    context: staging
    name: experiment-1
    namespace: default
    inferenceservice: my-model
    load_test: rollout
    progress_file: build/e2e/timeline.jsonl
  register: rollout

- name: Insist on a promotion
  iter8.kfserving.experiment_wait:
    kubeconfig: ~/.kube/config
    context: staging
    name: experiment-1
    inferenceservice: my-model
    expect: promoted
    timeout: 600
"""

RETURN = r"""
outcome:
  description: How it ended. V(pending) is seen in check mode only.
  type: str
  returned: always, but for wrong input
  choices: [succeeded, rolled_back, failed, timeout, deleted, pending]
  sample: succeeded
reason:
  description:
    - Why, in one word. iter8's own reason where the Experiment gives one, such as V(MetricUnavailable).
    - Otherwise one of V(HandlerFailed), V(SameRevision), V(ExperimentDeleted), V(InferenceServiceDeleted),
      V(ExperimentNotFound), V(InferenceServiceNotFound), V(Timeout), or a reason of the InferenceService.
  type: str
  returned: always, but for wrong input
  sample: ExperimentCompleted
message:
  description: The ending in one sentence. After a time-out it says what was still missing.
  type: str
  returned: always, but for wrong input
  sample: "Experiment experiment-1: promoted after 12 iterations (Experiment completed successfully)."
winner:
  description: V(canary) or V(baseline), or null where iter8 found none.
  type: str
  returned: always, but for wrong input
  sample: canary
iterations:
  description: Iterations completed.
  type: int
  returned: always, but for wrong input
  sample: 12
experiment:
  description: The Experiment as it was last seen.
  type: dict
  returned: when it was seen
inferenceservice:
  description: The InferenceService as it was last seen.
  type: dict
  returned: when it was named and seen
transitions:
  description: What happened, in order.
  type: list
  elements: dict
  returned: always, but for wrong input
  contains:
    time:
      description: When it was seen, in seconds since the epoch.
      type: float
    source:
      description: V(experiment) or V(inferenceservice).
      type: str
    event:
      description: V(condition), V(iteration), V(handler), V(completed), V(traffic), V(connection) and others.
      type: str
    text:
      description: The line that was shown.
      type: str
    data:
      description: The event's details.
      type: dict
  sample:
    - time: 1606082025.0
      source: experiment
      event: iteration
      text: experiment-1  iteration 4/12  canary 25 %  87 requests, 0 not 200
      data: {iteration: 4, weights: {baseline: 75, canary: 25}, winner: canary, requests: 87, failed: 0}
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.waits import experiment_wait

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "api_version": {"type": "str", "default": "iter8.tools/v2alpha1"},
    "inferenceservice": {"type": "str"},
    "inferenceservice_api_version": {"type": "str"},
    "handler_namespace": {"type": "str", "default": "iter8-system"},
    "timeout": {"type": "int", "default": 1800},
    "expect": {"type": "str", "choices": ["any", "completed", "promoted"], "default": "completed"},
    "load_test": {"type": "str"},
    "load_state_dir": {"type": "path"},
    "progress_file": {"type": "path"},
    "observer": {"type": "str"},
    "observer_state_dir": {"type": "path"},
    "stable_seconds": {"type": "float", "default": 2},
}


def main() -> None:
    run_module(ARGUMENTS, experiment_wait)


if __name__ == "__main__":
    main()
