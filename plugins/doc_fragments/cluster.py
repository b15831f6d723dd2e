# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules which talk to a cluster share."""

from __future__ import annotations


class ModuleDocFragment:
    """C(iter8.kfserving.cluster): the refusal; C(.wait), C(.inferenceservice), C(.record): shared options."""

    DOCUMENTATION = r"""
requirements:
  - python >= 3.10
  - kubernetes >= 29
  - PyYAML
notes:
  - The current kube context is never used. The cluster must be named, by O(kubeconfig) and O(context),
    or by O(host) with O(api_key), with O(username) and O(password), or with O(client_cert) and O(client_key);
    C(K8S_AUTH_*) environment variables count as in P(kubernetes.core.k8s#module). Otherwise the module
    refuses before it sends anything.
  - A server that is busy (429, or 5xx with a Retry-After header) is asked again when it says so, within the
    module's O(ignore:timeout); modules without one do so for a minute.
  - A kubeconfig that is encrypted with ansible-vault is decrypted where the task runs on the controller.
attributes:
  action_group:
    description: Use C(group/iter8.kfserving.kfserving) in C(module_defaults) to set the cluster for all.
    support: full
    membership:
      - iter8.kfserving.kfserving
"""

    WAIT = r"""
options:
  progress_file:
    description:
      - A file to which each transition is appended as one line of JSON, as it happens.
      - The transitions are shown on the terminal whether or not this is set.
    type: path
  observer:
    description:
      - A running observer of M(iter8.kfserving.rollout_observer) to follow, instead of a watch of its own.
      - It must observe what is waited for. Transitions are in its timeline, so O(progress_file) is not
        needed. While it sees nothing, nothing is decided.
    type: str
  observer_state_dir:
    description: The folder in which that observer keeps its state, if it was started with one of its own.
    type: path
  stable_seconds:
    description: What was asked must hold this long, in seconds, at every look.
    type: float
    default: 2
attributes:
  check_mode:
    details:
      - In check mode it looks once, waits for nothing, and does not fail.
notes:
  - The wait is a watch of the Kubernetes API, not a poll. It survives a restart of the API server
    and an expired resource version, until O(timeout).
"""

    # Of modules whose objects M(iter8.kfserving.ownership) removes with the run.
    RECORD = r"""
options:
  run_id:
    description: The run's identity, a valid label value, as in M(iter8.kfserving.ownership).
    type: str
    required: true
  record:
    description: The file of the run's record, as in M(iter8.kfserving.ownership).
    type: path
    required: true
  record_namespace:
    description: The namespace of the record's copy on the cluster, as in M(iter8.kfserving.ownership).
    type: str
    default: default
"""

    INFERENCESERVICE = r"""
options:
  name:
    description: The InferenceService's name.
    type: str
    required: true
  namespace:
    description: Its namespace.
    type: str
    default: default
  api_version:
    description:
      - Its API version. By default the one that is served; where that are several, the one in which it is
        there, V(serving.kserve.io/v1beta1) before V(serving.kubeflow.org/v1beta1).
    type: str
"""
