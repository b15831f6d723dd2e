# SPDX-License-Identifier: GPL-3.0-or-later
"""One continuous look at all that a rollout touches, detached from the playbook, and what it missed."""
