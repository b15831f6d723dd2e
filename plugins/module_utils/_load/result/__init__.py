# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load has to say at its end: load.json, in Fortio's terms and our own, and results merged."""
