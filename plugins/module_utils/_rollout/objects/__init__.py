# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of Kubernetes objects, and what they say: pending, succeeded, failed, and why."""
