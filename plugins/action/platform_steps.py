# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what happens, live, while the module of the same name works.

No link to another of these: antsibull-docs takes modules whose actions are one file for one module.
"""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import LiveActionModule as ActionModule

__all__ = ["ActionModule"]
