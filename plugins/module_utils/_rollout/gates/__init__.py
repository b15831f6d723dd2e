# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the evidence so far allows the next step: each gate passes, fails, or cannot tell yet."""
