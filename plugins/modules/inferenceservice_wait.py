#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: inferenceservice_wait
short_description: Wait until an InferenceService is as asked, or gone
description:
  - Waits until an InferenceService has a ready revision, is Ready, and sends its traffic where it should,
    all in one snapshot, and all for O(stable_seconds). Shows each transition live.
  - For a moment after a change the status is the old one, Ready included, and there is no generation by which
    to tell. So record the revision before the change, and name it as O(baseline_revision); a wait with
    C(kubectl) or with a wait condition would pass at once.
  - In KServe's Knative mode, and with KFServing, revisions are Knative's. In Standard mode (once called
    RawDeployment) the status tells neither revisions nor traffic, so what the InferenceService led to is
    followed as well, with the right to list and watch Deployments and ReplicaSets, and HTTPRoutes and pods
    where they may be. A revision is a ReplicaSet there, and the traffic is that of the HTTPRoutes' weights.
    The mode is the status' own.
  - It has been rolled out in Knative mode once the latest created revision is the latest ready one, Ready is
    true, and the traffic lies by the names of revisions as C(canaryTrafficPercent) asks. In Standard mode,
    once each Deployment of the predictor has taken up its last change and consists of new, available pods
    alone, the HTTPRoutes have been accepted as they are now and give each Deployment the percent that the
    spec asks for, and Ready is true. In neither mode does it rest on C(observedGeneration), which is that of
    a child, or on C(modelStatus), nor is Ready being false for a moment a failure.
  - It ends at once when the object says that it has failed for good, when it is deleted, and when it is
    not there.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.inferenceservice
  - iter8.kfserving.cluster.wait
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  state:
    description:
      - With V(present), wait until it is as asked.
      - With V(serving), wait until clients are served, whatever the latest revision is. It may be a canary
        that was rolled back because it never became ready.
      - With V(absent), wait until it is gone; the finalizers that hold it are shown. The module deletes
        nothing.
      - With V(promoted), wait until another revision than O(baseline_revision) has all of the traffic, and is
        a canary no more (no C(canary) in the spec of Standard mode).
      - With V(rolled_back), wait until O(baseline_revision) has all of the traffic again, after the spec
        asked for a share for another one.
      - These two are for a rollout that somebody else drives. Give O(stable_seconds) the time for which it
        must have been over.
    type: str
    choices: [present, serving, absent, promoted, rolled_back]
    default: present
  baseline_revision:
    description:
      - The revision that served before the change, as RV(revisions.serving) of an earlier wait gave it.
      - Leave it out for a first deployment.
    type: str
  after_change:
    description:
      - With O(state=rolled_back), whether the share was asked for before this wait began, as by the play
        itself.
    type: bool
    default: false
  new_revision:
    description:
      - Whether the latest revision must be another than O(baseline_revision).
      - It must be by default where O(baseline_revision) is given.
    type: bool
  traffic:
    description:
      - The expected traffic, in percent, by revision name or by V(latest) (the latest created revision),
        V(baseline) (that of O(baseline_revision)) and V(previous) (the rolled-out one before).
      - Where the values sum to 100 the traffic must be exactly this; otherwise the rest may go elsewhere.
      - Without it the traffic must be what the object's own spec asks for.
    type: dict
  stuck_seconds:
    description:
      - For how long a container of the latest revision's pods may fail to start (its image cannot be pulled,
        for instance) or keep dying (started anew twice and not ready) before the wait ends as V(failed). The
        InferenceService itself says Unknown for ever then. V(0) waits for the whole O(timeout).
      - The first such sign is shown at once. A minute is long enough for Kubernetes to try three times.
    type: float
    default: 60
  timeout:
    description: Seconds to wait in all.
    type: int
    default: 300
seealso:
  - module: iter8.kfserving.experiment_wait
"""

EXAMPLES = r"""
- name: Wait for a first deployment
  iter8.kfserving.inferenceservice_wait:
    kubeconfig: ~/.kube/config
    context: staging
    name: my-model
  register: baseline

- name: Wait until the canary has its one percent
  iter8.kfserving.inferenceservice_wait:
    kubeconfig: ~/.kube/config
    context: staging
    name: my-model
    baseline_revision: "{{ baseline.revisions.serving }}"
    traffic:
      latest: 1
      baseline: 99

- name: Wait until somebody else has promoted the canary, and it has been so for 15 seconds
  iter8.kfserving.inferenceservice_wait:
    kubeconfig: ~/.kube/config
    context: staging
    name: my-model
    state: promoted
    baseline_revision: "{{ baseline.revisions.serving }}"
    stable_seconds: 15
    timeout: 3600

- name: Wait until it is gone
  iter8.kfserving.inferenceservice_wait:
    kubeconfig: ~/.kube/config
    context: staging
    name: my-model
    state: absent
"""

RETURN = r"""
outcome:
  description: How it ended. V(pending) is seen in check mode only.
  type: str
  returned: always, but for wrong input
  choices: [succeeded, failed, timeout, deleted, pending]
  sample: succeeded
reason:
  description: Why, in one word.
  type: str
  returned: always, but for wrong input
  sample: AsExpected
message:
  description: The ending in one sentence. After a time-out it says what was still missing.
  type: str
  returned: always, but for wrong input
  sample: >-
    InferenceService my-model: revision my-model-predictor-default-zwjbq is ready; traffic
    my-model-predictor-default-wl2cv 99 %, my-model-predictor-default-zwjbq 1 %.
resource:
  description: The InferenceService as it was last seen.
  type: dict
  returned: when it was seen
revisions:
  description: The predictor's revisions; an empty name where there is none.
  type: dict
  returned: always, but for wrong input
  contains:
    created:
      description: The latest created revision.
      type: str
    ready:
      description: The latest ready revision.
      type: str
    rolledout:
      description: The latest revision that has, or had, all the traffic.
      type: str
    previous:
      description: The rolled-out revision before that.
      type: str
    serving:
      description:
        - The revision that a rollout starts from, the rolled-out one while it has traffic, otherwise the one
          with most of it.
        - The latest ready one may be a canary that was rolled back, and serves nobody.
      type: str
  sample:
    created: my-model-predictor-default-zwjbq
    ready: my-model-predictor-default-zwjbq
    rolledout: my-model-predictor-default-wl2cv
    previous: ""
    serving: my-model-predictor-default-wl2cv
traffic:
  description: Percent by revision.
  type: dict
  returned: always, but for wrong input
  sample: {my-model-predictor-default-wl2cv: 99, my-model-predictor-default-zwjbq: 1}
url:
  description: The URL of its status.
  type: str
  returned: always, but for wrong input
  sample: http://my-model.default.example.com
transitions:
  description: What happened, in order, as in M(iter8.kfserving.experiment_wait).
  type: list
  elements: dict
  returned: always, but for wrong input
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.waits import inferenceservice_wait

STATES = ["present", "serving", "absent", "promoted", "rolled_back"]
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "api_version": {"type": "str"},
    "state": {"type": "str", "choices": STATES, "default": "present"},
    "baseline_revision": {"type": "str"},
    "after_change": {"type": "bool", "default": False},
    "new_revision": {"type": "bool"},
    "traffic": {"type": "dict"},
    "stuck_seconds": {"type": "float", "default": 60},
    "timeout": {"type": "int", "default": 300},
    "progress_file": {"type": "path"},
    "observer": {"type": "str"},
    "observer_state_dir": {"type": "path"},
    "stable_seconds": {"type": "float", "default": 2},
}


def main() -> None:
    named = [("state", state, ["baseline_revision"]) for state in ("promoted", "rolled_back")]
    run_module(ARGUMENTS, inferenceservice_wait, required_if=named)


if __name__ == "__main__":
    main()
