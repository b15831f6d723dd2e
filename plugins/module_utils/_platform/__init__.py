# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing what models need: steps of manifests, read and checked as a whole, then applied in order.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
Use the collection's modules, plugins and roles, which keep to semantic versions.
"""
