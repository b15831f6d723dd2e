# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus and the file of its targets: `python3 -m …_sandbox.monitoring.main prometheus|targets`."""
