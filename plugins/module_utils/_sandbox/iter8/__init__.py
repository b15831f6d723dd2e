# SPDX-License-Identifier: GPL-3.0-or-later
"""iter8's controller and handlers: `python3 -m …_sandbox.iter8.main controller|start|finish`."""
