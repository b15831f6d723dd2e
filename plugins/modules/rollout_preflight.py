#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_preflight
short_description: Ask a cluster whether a model can be rolled out, before anything is changed
description:
  - Asks for everything at once and tells all that is wrong in one message, each with what to do. Nothing is
    changed.
  - It asks for the server's version, for each right that the rollout needs (SelfSubjectAccessReview), whether
    the kinds are served and their controllers run, whether the webhooks that guard InferenceServices answer,
    whether a node has room for one more pod of the model, and for states of the InferenceService in which a
    rollout would lose requests or lead nowhere.
  - Such states are a share left over from an earlier rollout, a rejected revision that would get the next
    canary's share, a baseline that was collected, C(spec.canary) with a KServe older than 0.21 or with plain
    Ingress, C(canaryTrafficPercent) in Standard mode, and a canary of another mode or API group than the
    model.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.inferenceservice
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  driver:
    description: Who moves the traffic.
    type: str
    choices: [iter8, observe, progressive]
    default: observe
  canary:
    description: The manifest that the rollout applies; none where something else changes the model.
    type: dict
  record_namespace:
    description: The namespace of the record's copy on the cluster; empty for none.
    type: str
    default: ""
  load_namespace:
    description: The namespace of the pods that send the load; empty where none do.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Is everything ready for a rollout?
  iter8.kfserving.rollout_preflight:
    kubeconfig: ~/.kube/config
    context: staging
    name: sklearn-iris
    namespace: models
    driver: progressive
    canary: "{{ lookup('iter8.kfserving.manifest', 'canary.yaml', kind='InferenceService') }}"
"""

RETURN = r"""
problems:
  description: What keeps the rollout from beginning, as sentences; the module fails where there is any.
  type: list
  elements: str
  returned: when the cluster answered
notes:
  description: What is worth knowing, or could not be looked at.
  type: list
  elements: str
  returned: when the cluster answered
version:
  description: The API server's version.
  type: str
  returned: when the cluster answered
  sample: v1.34.4
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.preflight.preflight import preflight

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "api_version": {"type": "str"},
    "driver": {"type": "str", "choices": ["iter8", "observe", "progressive"], "default": "observe"},
    "canary": {"type": "dict"},
    "record_namespace": {"type": "str", "default": ""},
    "load_namespace": {"type": "str", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, preflight)


if __name__ == "__main__":
    main()
