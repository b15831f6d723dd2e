# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing what models need: steps of manifests, read and checked as a whole, then applied in order."""
