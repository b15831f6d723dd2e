# SPDX-License-Identifier: GPL-3.0-or-later
"""A load generator as a pod: what it is told through files, and what it says on its standard output."""
