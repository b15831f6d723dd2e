# SPDX-License-Identifier: GPL-3.0-or-later
"""A load that pods of a Job send together: made, begun at one time, heard, stopped and removed."""
