#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_job_info
short_description: Tell how far a load from pods is
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
description:
  - Reads what the pods of a load that M(iter8.kfserving.load_job) started have said of themselves.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  name:
    description: The load's name.
    type: str
    required: true
  namespace:
    description: The namespace of its pods.
    type: str
    default: default
seealso:
  - module: iter8.kfserving.load_job
"""

EXAMPLES = r"""
- name: Wait until the load has sent a hundred requests
  iter8.kfserving.load_job_info:
    kubeconfig: ~/.kube/config
    context: staging
    name: quickstart
    namespace: load
  register: load
  until: load.progress.requests >= 100
  retries: 60
  delay: 1
"""

RETURN = r"""
status:
  description: What the load is doing, as of M(iter8.kfserving.load_job).
  type: str
  returned: success
  choices: [absent, starting, running, finished, stopped, aborted, interrupted]
progress:
  description: What all its pods have counted, as of M(iter8.kfserving.load_job), at most some seconds old.
  type: dict
  returned: success
generators:
  description: Each generator with its C(pod) and its C(node), and what is wrong with it (C(problem)).
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.ensure import load_job_info
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
}


def main() -> None:
    """Entry point."""
    run_module(ARGUMENTS, load_job_info)


if __name__ == "__main__":
    main()
