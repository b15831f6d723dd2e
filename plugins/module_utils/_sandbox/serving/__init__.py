# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller that does for InferenceServices what KFServing 0.5 does: `python3 -m …_sandbox.serving`."""
