# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout that this collection drives: which patch next, given what is seen."""
