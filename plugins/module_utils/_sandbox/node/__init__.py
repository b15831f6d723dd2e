# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's node: a kubelet that runs each pod as local processes on a loopback address of the pod's own.

`python3 -m ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.node --state-dir <state>`

Parts: `main` (the node's process), `registration` (the Node object), `api` (the API server, JSON over HTTPS),
`reflector` (list, then watch), `pod` (the life of one pod), `container` (that of one container), `process`
(a started or adopted process), `checks` (asking a probe or a hook), `mounts` and `credentials` (what a pod
finds on disk), `store` (what must outlive the node's own death); and without I/O: `status`, `probes`,
`restart`, `environment`, `volumes` (but for its last functions).

At the API server it needs: nodes and nodes/status (create, get, patch), pods (list, watch, get, delete),
pods/status (patch), pods/binding (create), configmaps (list, watch, get), secrets (get),
serviceaccounts/token (create), events (create, patch).
"""
