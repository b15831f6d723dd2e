# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a rollout: looks, decides (in _rollout.plan), stores, patches; one driver at a time, anywhere."""
