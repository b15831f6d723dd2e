# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes on record before they run, ended by that record."""
