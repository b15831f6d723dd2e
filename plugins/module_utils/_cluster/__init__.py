# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to Kubernetes: watches, waits, the observer, ownership of what a run created.

Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
Use the collection's modules, plugins and roles, which keep to semantic versions.
"""
