#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_steps
short_description: Install what models need, step by step, as a run's own
description:
  - Reads the manifests of all O(steps), holds them against their checksums, and asks the cluster whether they
    can be applied. Whatever is wrong is told in one message before the first change, among it a checksum, an
    answer of 404, a page of HTML in the place of YAML, a kind that nobody defines, a right that the user
    lacks, another version that is there already.
  - Then applies step by step, server-side. CustomResourceDefinitions go first and are waited for, then
    what no webhook guards, then what webhooks guard, once these have a CA and a ready endpoint. A step has
    ended when its workloads are ready.
  - What others have installed at the same version is left alone. What the run creates goes on record as with
    M(iter8.kfserving.ownership), which removes it.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.record
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  steps:
    description: What to install, in order.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the step installs, with its version.
        type: str
        required: true
      sources:
        description: Where its manifests are read from, in order.
        type: list
        elements: dict
        default: []
        suboptions:
          file:
            description: A file on the host where the module runs.
            type: path
          url:
            description: An address.
            type: str
          kustomize:
            description: >-
              A folder or repository for C(kustomize build); needs kustomize or kubectl on the host where
              the module runs.
            type: str
          sha256:
            description: The SHA-256 of the file in hexadecimal. What kustomize builds has none.
            type: str
      definitions:
        description: Objects given directly, after those of the sources.
        type: list
        elements: dict
        default: []
      edits:
        description: Changes to objects of the step before they are applied. One that finds no object is an
          error.
        type: list
        elements: dict
        default: []
        suboptions:
          kind:
            description: The object's kind.
            type: str
            required: true
          name:
            description: The object's name.
            type: str
            required: true
          merge:
            description: What goes into the object, mapping by mapping; null takes away what is there.
            type: dict
          json:
            description: >-
              What goes into the JSON texts of a ConfigMap's data, by their keys; null takes away what is
              there.
            type: dict
      namespace:
        description: The namespace of objects that need one and name none.
        type: str
      workloads:
        description: The Deployments, StatefulSets and DaemonSets that must be ready before the next step.
        type: list
        elements: dict
        default: []
        suboptions:
          kind:
            description: The kind.
            type: str
            choices: [Deployment, StatefulSet, DaemonSet]
            required: true
          name:
            description: The name.
            type: str
            required: true
          namespace:
            description: The namespace.
            type: str
            required: true
      detect:
        description:
          - The object by which the step is known to be there. Its version is compared with what the step's
            own manifests say of the same object.
          - A step with neither sources nor definitions is one that the user has to bring.
        type: dict
        suboptions:
          api_version:
            description: The object's API version.
            type: str
            required: true
          kind:
            description: The object's kind.
            type: str
            required: true
          name:
            description: The object's name.
            type: str
            required: true
          namespace:
            description: The object's namespace.
            type: str
          by:
            description:
              - What tells the version, V(image) for the image of a workload's first container,
                V(label:KEY) or V(annotation:KEY).
            type: str
            default: image
      hint:
        description: How to get a step that the user has to bring, as a sentence.
        type: str
  folder:
    description:
      - A folder to read in the place of addresses. It has each file under the host and path of its
        address, as C(wget --force-directories) lays them.
    type: path
  mirror:
    description: An address that has the files in the same way, to be read in the place of the others.
    type: str
  checksums:
    description:
      - SHA-256 of files by their address as O(steps) name it, beside or in place of those that the steps
        have. An empty string takes a check away.
    type: dict
    default: {}
  images:
    description:
      - Other names for images. A key is an image, a repository (its tag or digest stays), or a prefix that
        ends with a slash; the longest that fits counts.
      - Besides containers, ConfigMaps and environment variables are looked through.
    type: dict
    default: {}
  self_signed:
    description:
      - Make the certificates of webhooks here, in the place of cert-manager, which then need not be there.
        Of each Certificate the Secret is made, and what asks for its CA gets it. They are made anew by the
        first run within 30 days of their end, a year after they were made; the controllers that use them
        are to be restarted then.
      - Needs the Python package cryptography.
    type: bool
    default: false
  other_version:
    description:
      - What happens where others have installed a step at another version, or objects of its that differ.
      - V(stop) fails before anything is changed. V(keep) leaves these as they are and goes on.
    type: str
    choices: [stop, keep]
    default: stop
  timeout:
    description: Seconds that each step may take.
    type: int
    default: 600
  progress_file:
    description: A file to which each step and workload is appended as one line of JSON, as it happens.
    type: path
"""

EXAMPLES = r"""
- name: Install cert-manager from a mirror
  iter8.kfserving.platform_steps:
    kubeconfig: ~/.kube/config
    context: staging
    run_id: nightly-1
    record: ~/.local/state/iter8-kfserving/runs/nightly-1.json
    mirror: https://mirror.example.com/manifests
    images:
      quay.io/jetstack/: mirror.example.com/jetstack/
    steps:
      - name: cert-manager 1.17.0
        sources:
          - url: https://github.com/cert-manager/cert-manager/releases/download/v1.17.0/cert-manager.yaml
        detect: {api_version: apps/v1, kind: Deployment, name: cert-manager, namespace: cert-manager}
        workloads:
          - {kind: Deployment, name: cert-manager-webhook, namespace: cert-manager}
"""

RETURN = r"""
steps:
  description: The steps, each with what was found of it where others have installed it, else with an empty
    string.
  type: list
  elements: dict
  returned: when nothing was refused
  sample:
    - name: cert-manager 1.17.0
      there: "Deployment cert-manager/cert-manager, quay.io/jetstack/cert-manager-controller:v1.17.0"
left:
  description: >-
    What stays as it is, though the step's manifests have it otherwise, since the program behind a webhook
    fills it in. Each names the object, the field and the program.
  type: list
  elements: str
  returned: when nothing was refused
  sample:
    - >-
      MutatingWebhookConfiguration webhook.serving.knative.dev:
      .webhooks[name="webhook.serving.knative.dev"].rules, which is webhook's
problems:
  description: Everything that keeps the steps from being applied, as sentences.
  type: list
  elements: str
  returned: when something was refused
created:
  description: The objects that are the run's own.
  type: list
  elements: dict
  returned: when nothing was refused
existed:
  description: Always empty, for what is others' is not applied.
  type: list
  elements: dict
  returned: when nothing was refused
images:
  description: The images that the manifests' containers name.
  type: list
  elements: str
  returned: when nothing was refused
verified:
  description: The sources that were held against a checksum.
  type: list
  elements: str
  returned: when nothing was refused
unverified:
  description: The addresses for which no checksum is known.
  type: list
  elements: str
  returned: when nothing was refused
transitions:
  description: What got ready when, as in M(iter8.kfserving.experiment_wait).
  type: list
  elements: dict
  returned: when nothing was refused
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import (
    RECORD_ARGUMENTS,
    WORKLOAD_ARGUMENTS,
    run_module,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.platform import platform

SOURCE = {
    "file": {"type": "path"},
    "url": {"type": "str"},
    "kustomize": {"type": "str"},
    "sha256": {"type": "str"},
}
EDIT = {
    "kind": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "merge": {"type": "dict"},
    "json": {"type": "dict"},
}
DETECT = {
    "api_version": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "by": {"type": "str", "default": "image"},
}
STEP = {
    "name": {"type": "str", "required": True},
    "sources": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": SOURCE,
        "required_one_of": [("file", "url", "kustomize")],
        "mutually_exclusive": [("file", "url", "kustomize")],
    },
    "definitions": {"type": "list", "elements": "dict", "default": []},
    "edits": {"type": "list", "elements": "dict", "default": [], "options": EDIT},
    "namespace": {"type": "str"},
    "workloads": {"type": "list", "elements": "dict", "default": [], "options": WORKLOAD_ARGUMENTS},
    "detect": {"type": "dict", "options": DETECT},
    "hint": {"type": "str"},
}
ARGUMENTS = {
    **RECORD_ARGUMENTS,
    "steps": {"type": "list", "elements": "dict", "required": True, "options": STEP},
    "folder": {"type": "path"},
    "mirror": {"type": "str"},
    "checksums": {"type": "dict", "default": {}},
    "images": {"type": "dict", "default": {}},
    "self_signed": {"type": "bool", "default": False},
    "other_version": {"type": "str", "choices": ["stop", "keep"], "default": "stop"},
    "timeout": {"type": "int", "default": 600},
    "progress_file": {"type": "path"},
}


def main() -> None:
    run_module(ARGUMENTS, platform, mutually_exclusive=[("folder", "mirror")])


if __name__ == "__main__":
    main()
