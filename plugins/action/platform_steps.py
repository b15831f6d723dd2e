# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what happens, live, while the module of the same name works."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import load
from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import LiveActionModule


class ActionModule(LiveActionModule):
    """One file for one module: so antsibull-docs takes it."""

    _module = load("platform_steps")
