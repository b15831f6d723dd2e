# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded cluster: a control plane on this machine, with small controllers of this project's own.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
Use the collection's modules, plugins and roles, which keep to semantic versions.
"""
