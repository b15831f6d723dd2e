# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a pod on the sandbox's node.

Who calls whom: `life` (the pod) → `container` (each of its containers) → `checks` (its probes and its hook).
What a container has to say goes up to its pod as data (a Report), and `facts` has what is known of both,
with the states of a container.

`supported` is the table of what a pod may ask for. `place`, `mounts`, `volumes` and `credentials` are what it
finds on this machine, `pod_object` what is written of it to the API server. Without I/O: `supported`,
`facts`, `status`, `probes`, `environment`.
"""
