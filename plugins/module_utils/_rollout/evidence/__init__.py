# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run left, read for judging: the load, the timeline, the gateway's log, clocks."""
