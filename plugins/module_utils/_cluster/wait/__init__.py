# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until an object is as wished, without being fooled."""
