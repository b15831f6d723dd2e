# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts on several rollouts, as one."""
