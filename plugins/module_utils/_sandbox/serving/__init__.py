# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller that does what KFServing and KServe do: `python3 -m …_sandbox.serving.main`."""
