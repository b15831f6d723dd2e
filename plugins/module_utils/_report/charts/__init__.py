# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts as SVG, for a page without scripts."""
