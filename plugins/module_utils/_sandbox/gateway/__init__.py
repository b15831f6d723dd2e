# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoy as the gateway's pod: `python3 -m …_sandbox.gateway.main run|drain`."""
