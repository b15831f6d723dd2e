# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed on the node: gateway, Knative Serving, KServe."""
