#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ingress_info
short_description: Find where an InferenceService answers from outside the cluster
description:
  - Returns host and port of the gateway, the URL of a prediction there, and the Host header by which the
    gateway knows the InferenceService.
  - Which gateway it is the cluster tells. In Standard mode with the Gateway API, the HTTPRoute's parent, with
    its Service or its own address. In Knative mode, the Service that the status of Knative's Ingress names,
    of Istio, Kourier or another. Else Istio's C(istio-ingressgateway). What may not be read is passed over.
  - The address is the load balancer's; where there is none, a ready node's and the Service's node port;
    or the one that is given.
  - Scheme, host and path of the InferenceService's C(status.url) decide, so that a gateway with TLS and
    routes by path are asked as they want it.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - iter8.kfserving.cluster
  - iter8.kfserving.cluster.inferenceservice
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  gateway_namespace:
    description: The namespace of the gateway's Service, with O(gateway_service). By default V(istio-system).
    type: str
  gateway_service:
    description: The name of the gateway's Service. By default the one that is found.
    type: str
  gateway_port_name:
    description:
      - The name or number of the Service's port. By default the listener's of a Gateway, else V(http2),
        V(http), V(80) or V(web), with https V(https) or V(443), whichever is there first.
    type: str
  gateway_scheme:
    description: Whether the gateway speaks TLS. By default as the InferenceService's URL has it.
    type: str
    choices: [http, https]
  gateway_host:
    description: Where the gateway answers, if the Service does not tell, as behind a forwarded port.
    type: str
  gateway_port:
    description: The port that goes with O(gateway_host).
    type: int
seealso:
  - module: iter8.kfserving.inferenceservice_wait
  - module: iter8.kfserving.load_test
"""

EXAMPLES = r"""
- name: Find the gateway
  iter8.kfserving.ingress_info:
    kubeconfig: ~/.kube/config
    context: staging
    name: my-model
  register: ingress

- name: Ask for a prediction
  ansible.builtin.uri:
    url: "{{ ingress.url }}"
    method: POST
    headers:
      Host: "{{ ingress.host_header }}"
    src: input.json

- name: Use a port that is forwarded to the gateway
  iter8.kfserving.ingress_info:
    kubeconfig: ~/.kube/config
    context: staging
    name: my-model
    gateway_host: 127.0.0.1
    gateway_port: 8080
"""

RETURN = r"""
host:
  description: Where the gateway answers, an address or a name.
  type: str
  returned: success
  sample: 192.0.2.10
port:
  description: The gateway's port.
  type: int
  returned: success
  sample: 80
via:
  description: How the address was found.
  type: str
  returned: success
  choices: [load_balancer, node_port, gateway, given]
  sample: load_balancer
found_by:
  description: >-
    How the gateway was found, by a V(gateway) of the Gateway API, by V(knative), as V(default) or V(given).
  type: str
  returned: success
  sample: knative
server_name:
  description: The name for TLS (SNI); empty for plain HTTP.
  type: str
  returned: success
  sample: ""
gateway_url:
  description: The gateway's address as a URL.
  type: str
  returned: success
  sample: http://192.0.2.10:80
url:
  description: The URL of a prediction at the gateway, to be used with RV(host_header).
  type: str
  returned: success
  sample: http://192.0.2.10:80/v1/models/my-model:predict
host_header:
  description: The Host header, from the URL of the InferenceService's status.
  type: str
  returned: success
  sample: my-model.default.example.com
"""

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.module import run_module
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.wait.ingress import ingress_info

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "api_version": {"type": "str"},
    "gateway_namespace": {"type": "str"},
    "gateway_service": {"type": "str"},
    "gateway_port_name": {"type": "str"},
    "gateway_scheme": {"type": "str", "choices": ["http", "https"]},
    "gateway_host": {"type": "str"},
    "gateway_port": {"type": "int"},
}


def main() -> None:
    run_module(ARGUMENTS, ingress_info, required_together=[("gateway_host", "gateway_port")])


if __name__ == "__main__":
    main()
