# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts for people and CI, made of a verdict and its evidence.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
Use the collection's modules, plugins and roles, which keep to semantic versions.
"""
