# SPDX-License-Identifier: GPL-3.0-or-later
"""When to send, on which connection, and what became of each request: the loop and its parts."""
