# SPDX-License-Identifier: GPL-3.0-or-later
"""What would go wrong with a rollout, decided from what a cluster has before it begins."""
