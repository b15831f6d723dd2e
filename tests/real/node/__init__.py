# SPDX-License-Identifier: GPL-3.0-or-later
"""One Kubernetes node in namespaces of its own: its processes, network and mounts end with it."""
