# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run created, on record, and its removal."""
