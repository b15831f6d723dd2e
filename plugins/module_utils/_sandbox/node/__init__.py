# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's node: a kubelet that runs each pod as local processes on a loopback address of the pod's own.

`python3 -m ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node.main --state-dir <state>`

`main` is the node's process, `registration` its Node object, `context` what every part needs, `handle` a
started or adopted process, `store` what must outlive the node's own death, and `pod` the life of each pod.

At the API server it needs: nodes and nodes/status (create, get, patch), pods (list, watch, get, delete),
pods/status (patch), pods/binding (create), configmaps (list, watch, get), serviceaccounts/token (create),
events (create, patch).
"""
