# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd, kube-apiserver and kube-controller-manager: certificates, start, readiness."""
