# SPDX-License-Identifier: GPL-3.0-or-later
"""The load engine: standard library alone, Python 3.9 or later; runs as a plain directory too."""
