# SPDX-License-Identifier: GPL-3.0-or-later
"""The load engine: the standard library alone, Python 3.9 or later; also runs as a plain directory (`python -m _load`)."""
