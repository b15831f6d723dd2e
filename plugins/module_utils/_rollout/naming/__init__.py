# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answered, where the answers do not name a revision: what they say instead, and what that proves."""
