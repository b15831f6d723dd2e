# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox brought up, looked at and removed."""
