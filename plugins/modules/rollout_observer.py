#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_observer
short_description: Record everything that a rollout touches, from before it begins to after it ends
description:
  - Starts a process that follows one InferenceService, its Experiment and all that belongs to it, and
    records every version, until it is stopped. It outlives the playbook, as a load of
    M(iter8.kfserving.load_test) does.
  - It follows the InferenceService, the Experiment and the Jobs of its handlers, Knative Services,
    Configurations, Revisions and Routes, Deployments, ReplicaSets, HTTPRoutes, pods, and the events about
    any of them and about the nodes of the pods; what is not served is left out. It needs the right to get,
    list and watch each. A kind other than the first two that it may not read is said once and leaves the
    rest.
  - It also records when it saw nothing. While nothing happens, a watch cannot tell peace from a lost
    connection, so the versions of the InferenceService, of the Experiment and, in Standard mode, of the
    InferenceService's HTTPRoute are asked for several times a second beside it. What no answer vouches for is
    written down as an unobserved interval, with the reason.
  - Objects are cut to what decides about a rollout. Environment variables, annotations and pod templates
    are not recorded, nor are credentials in a model's URI.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
requirements:
  - Linux or another system on which a process can be forked
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  name:
    description: The observer's name, for as long as its state is kept.
    type: str
    required: true
  state:
    description:
      - V(started) returns once all that is followed has been listed for the first time.
      - V(stopped) ends it and keeps its record; O(dest) takes a copy. Of one that was killed, what it had
        written by then is there.
      - V(absent) ends it and removes its record.
    type: str
    choices: [started, stopped, absent]
    default: started
  inferenceservice:
    description: The InferenceService. Needed for O(state=started).
    type: str
  namespace:
    description: The namespace of the InferenceService and of the Experiment.
    type: str
    default: default
  api_version:
    description:
      - The InferenceService's API version. By default the one that is served; where that are several, the one
        in which it is there, V(serving.kserve.io/v1beta1) before V(serving.kubeflow.org/v1beta1).
    type: str
  experiment:
    description: The Experiment, which need not be there yet.
    type: str
  experiment_api_version:
    description: The Experiment's API version.
    type: str
    default: iter8.tools/v2alpha1
  handler_namespace:
    description: The namespace in which iter8 runs its handlers as Jobs. Empty to leave them out.
    type: str
    default: iter8-system
  shared:
    description:
      - The name of a process that observes for several. It is started where it does not run, has one
        connection for each kind and namespace however many it observes for, and ends some time after the last
        of them.
      - What each observer records is the same as with a process of its own, and it is stopped by itself.
      - All that name it must name the same cluster.
    type: str
  timeline:
    description: A file to which each transition is appended as one line of JSON, as it happens.
    type: path
  duration:
    description: When it ends by itself, such as V(90m). It always has a bound.
    type: str
    default: 4h
  dest:
    description:
      - The file that takes the observations, one JSON object a line.
      - With O(state=started) they are put there when the observer ends, whoever brings that about; those of
        one that was killed with O(state=stopped) or O(state=absent).
    type: path
  gateway_log:
    description:
      - Which gateway's access log is followed, through the API server, so that it tells who answered where no
        answer does. Of each of the load's own requests it keeps the id, the time, the status, the flags and
        what tells the revision; of other requests nothing.
      - It needs the rights to list pods and to get C(pods/log) in the gateway's namespace. Where there is no
        such pod, or its log may not be read, the observer is not started.
    type: dict
    suboptions:
      gateway:
        description: Whose it is, as O(iter8.kfserving.rollout_verdict#module:access_log.gateway) names them.
        type: str
        required: true
        choices: [istio, istio_text, kourier, envoy, envoy_gateway, traefik]
      namespace:
        description: The namespace of its pods. By default that of upstream's own manifests.
        type: str
      selector:
        description: The label selector of its pods. By default that of upstream's own manifests.
        type: str
      container:
        description: The container that writes the log. By default that of upstream's own manifests.
        type: str
      dest:
        description: >-
          The file that takes the lines. It is what O(iter8.kfserving.rollout_verdict#module:access_log) reads
          with the gateway V(kept).
        type: path
        required: true
  state_dir:
    description:
      - The folder in which observers keep their state.
      - The default is C(iter8-kfserving/observers) in C($XDG_STATE_HOME), or in C(~/.local/state).
    type: path
seealso:
  - module: iter8.kfserving.load_test
  - module: iter8.kfserving.experiment_wait
  - module: iter8.kfserving.rollout_verdict
"""

EXAMPLES = r"""
- name: Observe the rollout
  iter8.kfserving.rollout_observer:
    kubeconfig: ~/.kube/config
    context: staging
    name: rollout
    inferenceservice: my-model
    experiment: experiment-1
    timeline: build/e2e/timeline.jsonl

- name: End it and keep what it saw
  iter8.kfserving.rollout_observer:
    kubeconfig: ~/.kube/config
    context: staging
    name: rollout
    state: stopped
    dest: build/e2e/observations.jsonl
"""

RETURN = r"""
status:
  description: What the observer is doing. V(interrupted) says that it was killed.
  type: str
  returned: success
  choices: [running, stopped, interrupted, absent]
  sample: running
progress:
  description: How far it is.
  type: dict
  returned: success
  contains:
    state:
      description: As RV(status).
      type: str
    heartbeat:
      description: When it was alive last, in seconds since the epoch.
      type: float
    unobserved:
      description: By what is followed, the interval that is unobserved as of the heartbeat; empty as a rule.
      type: dict
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import ClusterError
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.ensure import ensure_state
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.observer.gateway_log import PLACES
from ansible_collections.iter8.kfserving.plugins.module_utils._load.duration import SECOND, parse
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
    "inferenceservice": {"type": "str"},
    "namespace": {"type": "str", "default": "default"},
    "api_version": {"type": "str"},
    "experiment": {"type": "str"},
    "experiment_api_version": {"type": "str", "default": "iter8.tools/v2alpha1"},
    "handler_namespace": {"type": "str", "default": "iter8-system"},
    "shared": {"type": "str"},
    "timeline": {"type": "path"},
    "duration": {"type": "str", "default": "4h"},
    "dest": {"type": "path"},
    "gateway_log": {
        "type": "dict",
        "options": {
            "gateway": {"type": "str", "required": True, "choices": list(PLACES)},
            "namespace": {"type": "str"},
            "selector": {"type": "str"},
            "container": {"type": "str"},
            "dest": {"type": "path", "required": True},
        },
    },
    "state_dir": {"type": "path"},
}


def execute(module):
    """What `run` ends the module with; what an observer keeps is kept as a load keeps it."""
    try:
        return ensure_state(module, parse(module.params["duration"], "duration") / SECOND)
    except LoadError as error:
        raise ClusterError(str(error)) from None


def main() -> None:
    run_module(ARGUMENTS, execute)


if __name__ == "__main__":
    main()
