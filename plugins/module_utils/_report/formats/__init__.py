# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefacts for people and for CI, one format a file."""
