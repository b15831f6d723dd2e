# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that are streamed as server-sent events: read as they come, and whole or not. No I/O, no clock."""
