# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on a real one-node cluster: Kubernetes, Knative Serving, KServe and a gateway."""
