#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_job
short_description: Send a load from pods of a cluster, each its part, and account for every request
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
description:
  - Sends the load of M(iter8.kfserving.load_test) from O(count) pods of an Indexed Job, as several hosts send
    one together. The engine comes to them in a ConfigMap, and what it sends in a Secret, so O(image) needs
    Python and nothing else.
  - All pods are ready, can connect to O(url), have their clocks compared with the one here and are told one
    time to begin before the module returns. What keeps one from that fails the task, and removes the load.
  - Results come by the pods' logs through the API server, in chunks with checksums; one that did not come
    whole is said again. Nothing is executed in a pod, and none has a service account's token. To whoever
    connects to it a pod tells the time, and nothing else.
  - A pod that ends before it is told to is not replaced. It is named in RV(generators), with what it had told
    of itself, and the verdict is inconclusive.
  - The load's objects are the run's own, as those of M(iter8.kfserving.ownership) are, and go with its
    others.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.record
  - iter8.kfserving.load
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
attributes:
  check_mode:
    details:
      - The arguments are checked, and the API server is asked whether it would take the objects (a dry run).
  idempotent:
    details:
      - A load that is running is not started again if its arguments are the same, and refused if they differ.
options:
  name:
    description: The load's name. The Job, the ConfigMap and the Secret are called C(load-) and this name.
    type: str
    required: true
  state:
    description:
      - V(started) returns once all pods send, and leaves them sending. What an earlier, ended load of this
        name left is replaced.
      - V(finished) waits until the load has ended by itself, and starts it before if there is none with
        these arguments.
      - V(stopped) ends it with its full report, waits for requests in flight, and puts the results of all
        pods together. An ended load stays as it is, and so does one that does not exist.
      - V(absent) deletes what of the load is on the cluster, with the pods' logs. O(dest) stays.
    type: str
    choices: [started, finished, stopped, absent]
    default: started
  namespace:
    description: The namespace of the pods. It must be there.
    type: str
    default: default
  count:
    description:
      - How many pods send the load together. O(rate), O(duration) and O(calls) are the whole load's, and
        O(connections), O(max_connections) and O(warmup) are divided. O(abort_failures) and O(ledger_limit)
        are each pod's.
    type: int
    default: 2
  image:
    description:
      - The image of the pods, any with C(python3) of Python 3.9 or later. To be sure of what runs, name it
        with its digest.
    type: str
    default: python:3.13.1-slim
  resources:
    description: What each pod requests, and its limits, as a container has them.
    type: dict
    default:
      requests: {cpu: 200m, memory: 128Mi}
  node_selector:
    description: Labels of the nodes that may have the pods, which are spread over these.
    type: dict
  tolerations:
    description: Tolerations of the pods.
    type: list
    elements: dict
  pull_secrets:
    description: Names of Secrets of O(namespace) by which the image may be pulled.
    type: list
    elements: str
  tls_secret:
    description:
      - Name of a Secret of O(namespace) with the certificates to trust (C(ca.crt)), the client's certificate
        (C(tls.crt)) and its key (C(tls.key)), as far as it has them.
    type: str
  ready_timeout:
    description: Seconds in which all pods must be ready, the pull of their image included.
    type: int
    default: 300
  start_seconds:
    description:
      - In how many seconds after being told all pods begin. It is longer where the pods were slow to answer.
    type: float
    default: 10
  stop_timeout:
    description: Seconds that the removal of the load's objects may take.
    type: int
    default: 120
  dest:
    description: File to write the result to when the load ends. A file that is there is replaced.
    type: path
  progress_file:
    description:
      - A file to which each pod that got ready is appended as one line of JSON, as it happens.
      - They are shown on the terminal whether or not this is set.
    type: path
notes:
  - Needs Kubernetes 1.29 or later, where the death of one pod of an Indexed Job does not end the others.
  - The pods find O(url) by the cluster's own network and names, so it may be a Service's.
  - A pod is told what to do by an annotation that its kubelet shows it, which takes a moment.
  - The clocks of the nodes are known to hundredths of a second where the user may get C(pods/proxy) and no
    network policy keeps the API server from the pods; else as closely as annotations are shown quickly.
  - Of a pod that is killed there is what it had told of itself, which it does every 20 seconds, for as long
    as its log can be read.
  - Pods that nobody tells anything any more end by themselves.
seealso:
  - module: iter8.kfserving.load_job_info
  - module: iter8.kfserving.load_test
"""

EXAMPLES = r"""
- name: Send three hundred requests a second from three pods while a canary is rolled out
  iter8.kfserving.load_job:
    kubeconfig: ~/.kube/config
    context: staging
    name: quickstart
    namespace: load
    count: 3
    url: http://my-model-predictor.models.svc.cluster.local/v1/models/my-model:predict
    payload_file: input.json
    rate: 300
    connections: 12
    duration: "0"
    run_id: nightly-1
    record: ~/.local/state/iter8-kfserving/runs/nightly-1.json

- name: End the load and keep what all pods counted
  iter8.kfserving.load_job:
    kubeconfig: ~/.kube/config
    context: staging
    name: quickstart
    namespace: load
    state: stopped
    dest: build/e2e/load.json
    run_id: nightly-1
    record: ~/.local/state/iter8-kfserving/runs/nightly-1.json

- name: Remove its objects
  iter8.kfserving.load_job:
    kubeconfig: ~/.kube/config
    context: staging
    name: quickstart
    namespace: load
    state: absent
    run_id: nightly-1
    record: ~/.local/state/iter8-kfserving/runs/nightly-1.json
"""

RETURN = r"""
status:
  description:
    - What the load is doing, as of M(iter8.kfserving.load_test); once it has ended, as its worst generator
      did. V(starting) means that its pods have not been told to begin.
  type: str
  returned: success
  choices: [absent, starting, running, finished, stopped, aborted, interrupted]
progress:
  description: How many requests have ended (C(requests)), how many failed (C(failed)), and both by revision.
  type: dict
  returned: success
  sample:
    requests: 240
    failed: 0
    revisions:
      my-model-predictor-00001:
        requests: 240
        failed: 0
generators:
  description:
    - Each generator with its C(pod) and its C(node); once the load has ended, all that
      C(LoadTest.generators) of the result has of it.
  type: list
  elements: dict
  returned: success
  sample:
    - name: load-quickstart-0
      pod: load-quickstart-0-x7k2p
      node: worker-1
      state: running
      requests: 120
      failed: 0
      problem: ""
transitions:
  description: What got ready when, as in M(iter8.kfserving.experiment_wait).
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.load_job.ensure import load_job
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import (
    RECORD_ARGUMENTS,
    run_module,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.arguments import (
    LOAD_ARGUMENTS,
    MUTUALLY_EXCLUSIVE,
    payload_texts,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.ensure import shown

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "finished", "stopped", "absent"], "default": "started"},
    **LOAD_ARGUMENTS,
    "namespace": {"type": "str", "default": "default"},
    "count": {"type": "int", "default": 2},
    "image": {"type": "str", "default": "python:3.13.1-slim"},
    "resources": {"type": "dict", "default": {"requests": {"cpu": "200m", "memory": "128Mi"}}},
    "node_selector": {"type": "dict"},
    "tolerations": {"type": "list", "elements": "dict"},
    "pull_secrets": {"type": "list", "elements": "str", "no_log": False},
    "tls_secret": {"type": "str", "no_log": False},
    "ready_timeout": {"type": "int", "default": 300},
    "start_seconds": {"type": "float", "default": 10},
    "stop_timeout": {"type": "int", "default": 120},
    "dest": {"type": "path"},
    **RECORD_ARGUMENTS,
    "progress_file": {"type": "path"},
}


class LoadJobModule(AnsibleModule):
    """Tells its arguments without payloads and credentials, and hides no number that is part of one."""

    def __init__(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        super().__init__(*args, **kwargs)
        self.no_log_values.difference_update(payload_texts(self.params))

    def exit_json(self, **kwargs):  # type: ignore[no-untyped-def]
        """With the arguments as they may be shown."""
        super().exit_json(invocation={"module_args": shown(self.params)}, **kwargs)

    def fail_json(self, msg, **kwargs):  # type: ignore[no-untyped-def]
        """Likewise; of arguments that were refused there are none to show."""
        arguments = shown(self.params) if hasattr(self, "no_log_values") else {}
        super().fail_json(msg, invocation={"module_args": arguments}, **kwargs)


def main() -> None:
    """Entry point."""
    run_module(
        ARGUMENTS,
        load_job,
        module_class=LoadJobModule,
        mutually_exclusive=MUTUALLY_EXCLUSIVE,
        required_if=[("state", "started", ("url",))],
    )


if __name__ == "__main__":
    main()
