# SPDX-License-Identifier: GPL-3.0-or-later
"""What every room may use: files written whole, processes told apart, quantities. Standard library alone.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
Use the collection's modules, plugins and roles, which keep to semantic versions.
"""
