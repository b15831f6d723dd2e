#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_objects
short_description: Look at the objects of a rollout, and keep them as they are now
description:
  - Returns each of the named objects that is there, and with O(dest) keeps each in a file of its own, as the
    evidence of how a rollout ended.
  - A cluster that does not answer is evidence too. With O(dest) it is a warning, and the files say that
    nothing is known.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  namespace:
    description: The namespace of the objects.
    type: str
    default: default
  objects:
    description: What to look at. Of a kind one can be kept.
    type: list
    elements: dict
    required: true
    suboptions:
      api_version:
        description: The API group and version.
        type: str
        required: true
      kind:
        description: The kind.
        type: str
        required: true
      name:
        description: The name.
        type: str
        required: true
  dest:
    description:
      - The folder in which each is kept, as C(inferenceservice.json) for an InferenceService. It has to be
        there.
      - The file of one that is not there, or cannot be read, holds an empty object.
    type: path
seealso:
  - module: iter8.kfserving.rollout_observer
"""

EXAMPLES = r"""
- name: Keep the last state of the model
  iter8.kfserving.rollout_objects:
    kubeconfig: ~/.kube/config
    context: staging
    namespace: models
    objects:
      - api_version: serving.kserve.io/v1beta1
        kind: InferenceService
        name: sklearn-iris
    dest: build/e2e
"""

RETURN = r"""
resources:
  description: The objects that are there, in the order of O(objects).
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.kept import rollout_objects
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module

OBJECT_ARGUMENTS = {
    "api_version": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
}
ARGUMENTS = {
    "namespace": {"type": "str", "default": "default"},
    "objects": {"type": "list", "elements": "dict", "required": True, "options": OBJECT_ARGUMENTS},
    "dest": {"type": "path"},
}


def main() -> None:
    run_module(ARGUMENTS, rollout_objects)


if __name__ == "__main__":
    main()
