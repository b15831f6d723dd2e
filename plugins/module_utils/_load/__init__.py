# SPDX-License-Identifier: GPL-3.0-or-later
"""The load engine: standard library alone, Python 3.9 or later; runs as a plain directory too.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
Use the collection's modules, plugins and roles, which keep to semantic versions.
"""
