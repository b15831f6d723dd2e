#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ownership
short_description: Own what a run creates on a cluster, so that it can be deleted, and nothing else
description:
  - Keeps, in a file, a record of the objects that a run is about to create, has created, and found there
    already.
  - Objects are deleted only where the run's label C(iter8.kfserving/run-id) and the recorded UID both
    match. What existed before the run is never labelled and never deleted, be it a namespace, a
    CustomResourceDefinition or anything else.
  - The Jobs that iter8 makes in C(iter8-system) for the run's Experiments, and leaves behind, go with these.
    Where Jobs may not be listed there, that is told in RV(kept).
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  state:
    description:
      - V(present) applies O(definitions) server-side, CustomResourceDefinitions first, and waits for
        O(workloads). What will be created goes to O(record) before, and its UIDs after. It tries again
        while the API server or a webhook does not answer or a new kind is not yet served, until O(timeout).
      - V(claimed) and V(recorded) are its two halves, for whoever applies by other means, such as Helm.
      - V(claimed), before applying, looks up every one of O(definitions), writes to O(record) whether it
        exists, and returns RV(definitions) with the run's label on those that the run will create. Apply
        these.
      - V(recorded), after applying, adds the UIDs of what was created to O(record).
      - V(absent) deletes what the run created, in an order that leaves controllers alive while their
        objects go (custom objects, the last claimed first; when these are gone all others at once), and
        waits until all of it is gone. Without a record, here or on the cluster, there is nothing to do. It
        fails when something of the run is left, as what no longer carries the run's label, or a kind that is
        no longer served.
    type: str
    choices: [present, claimed, recorded, absent]
    required: true
  run_id:
    description: The run's identity, a valid label value. An empty one is refused.
    type: str
    required: true
  record:
    description:
      - The file of the record, JSON. It must be of this O(run_id), and is always written whole.
      - It is also of one cluster, known by the UID of its namespace C(kube-system) (where that may be read).
        On any other cluster the module refuses to do anything, whatever the context is called.
    type: path
    required: true
  record_namespace:
    description:
      - The namespace on the cluster in which a second copy of the record is kept, as a ConfigMap, so that the
        run can be removed from another machine by its O(run_id). It must be one that stays when the run goes.
        With an empty string there is no such copy.
      - Needs the rights to get, create, patch and delete ConfigMaps there. Without them the module warns.
    type: str
    default: default
  definitions:
    description:
      - The objects to apply or to claim. Lists are opened.
      - A kind that the API server does not serve yet is accepted where its CustomResourceDefinition is
        among them.
    type: list
    elements: dict
    default: []
  workloads:
    description:
      - With O(state=present), the Deployments, StatefulSets and DaemonSets that must be ready. They need not
        be among O(definitions).
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
  namespace:
    description: The namespace of definitions that need one and name none.
    type: str
  timeout:
    description:
      - Seconds that O(state=present) or O(state=absent) may take. When they are over the module fails,
        and says which workload is not ready and why, or what holds each object, finalizers and the
        conditions of namespaces included.
    type: int
    default: 300
  force_contents:
    description:
      - With O(state=absent), delete namespaces and CustomResourceDefinitions that the run created even though
        others have put objects into them, or made objects of their kinds, or where a kind cannot be listed.
        Otherwise the module names these and deletes nothing at all.
      - Not counted are objects that belong to another object, those that Kubernetes keeps in every
        namespace, and ConfigMaps, Secrets, Services, ServiceAccounts and Jobs that no tool of a person
        has written.
    type: bool
    default: false
  progress_file:
    description:
      - A file to which each workload that got ready, and each deletion, is appended as one line of JSON,
        as it happens.
      - They are shown on the terminal whether or not this is set.
    type: path
attributes:
  check_mode:
    details:
      - With O(state=absent) it returns the exact list, in order. No record is written.
"""

EXAMPLES = r"""
- name: Apply a folder of manifests, and wait until the controller runs
  iter8.kfserving.ownership:
    kubeconfig: ~/.kube/config
    context: staging
    state: present
    run_id: e2e-20261122-4711
    record: ~/.local/state/iter8-kfserving/runs/e2e.json
    definitions: "{{ lookup('ansible.builtin.file', 'kfserving.yaml') | from_yaml_all }}"
    workloads:
      - {kind: StatefulSet, name: kfserving-controller-manager, namespace: kfserving-system}

- name: Apply by other means, and claim before it
  iter8.kfserving.ownership:
    kubeconfig: ~/.kube/config
    context: staging
    state: claimed
    run_id: e2e-20261122-4711
    record: ~/.local/state/iter8-kfserving/runs/e2e.json
    definitions: "{{ lookup('ansible.builtin.file', 'kfserving.yaml') | from_yaml_all }}"
  register: claim

- name: Apply it
  kubernetes.core.k8s:
    kubeconfig: ~/.kube/config
    context: staging
    definition: "{{ claim.definitions }}"
    apply: true

- name: Record what was created
  iter8.kfserving.ownership:
    kubeconfig: ~/.kube/config
    context: staging
    state: recorded
    run_id: e2e-20261122-4711
    record: ~/.local/state/iter8-kfserving/runs/e2e.json

- name: Delete what this run created, and nothing else
  iter8.kfserving.ownership:
    kubeconfig: ~/.kube/config
    context: staging
    state: absent
    run_id: e2e-20261122-4711
    record: ~/.local/state/iter8-kfserving/runs/e2e.json
"""

RETURN = r"""
definitions:
  description: What to apply, each with its namespace; labelled where the run creates it, otherwise as it
    was given.
  type: list
  elements: dict
  returned: with O(state=claimed)
created:
  description: Objects among O(definitions) that are the run's own, or (with O(state=recorded)) all that
    it has created so far.
  type: list
  elements: dict
  returned: with O(state=present), O(state=claimed) and O(state=recorded)
  sample:
    - {api_version: v1, kind: Namespace, name: kfserving-system}
existed:
  description: Objects that were there before the run, and stay when it goes.
  type: list
  elements: dict
  returned: with O(state=present) and O(state=claimed)
missing:
  description: Objects that were claimed to be created, but are not there or do not carry the run's label.
  type: list
  elements: dict
  returned: with O(state=recorded)
deleted:
  description: Objects that were deleted, in order; in check mode those that would be.
  type: list
  elements: dict
  returned: with O(state=absent), on failure too
kept:
  description: Objects on record that were left alone, each with the reason.
  type: list
  elements: dict
  returned: with O(state=absent), on failure too
  sample:
    - api_version: v1
      kind: Namespace
      name: monitoring
      reason: it existed before this run
runs:
  description: Where the run has no record, here or on the cluster, the runs that have one on the cluster;
    else those of them whose id begins with the run's and a dot, as the rollouts of a list are called.
  type: list
  elements: str
  returned: with O(state=absent)
transitions:
  description: What got ready or went when, as in M(iter8.kfserving.experiment_wait).
  type: list
  elements: dict
  returned: with O(state=present) and O(state=absent), on failure too
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import (
    RECORD_ARGUMENTS,
    WORKLOAD_ARGUMENTS,
    run_module,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.ownership import ownership

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "claimed", "recorded", "absent"], "required": True},
    **RECORD_ARGUMENTS,
    "definitions": {"type": "list", "elements": "dict", "default": []},
    "workloads": {"type": "list", "elements": "dict", "default": [], "options": WORKLOAD_ARGUMENTS},
    "namespace": {"type": "str"},
    "timeout": {"type": "int", "default": 300},
    "force_contents": {"type": "bool", "default": False},
    "progress_file": {"type": "path"},
}


def main() -> None:
    run_module(ARGUMENTS, ownership)


if __name__ == "__main__":
    main()
