# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the module of the same name a kubeconfig that it can read."""

from __future__ import annotations

from ansible_collections.iter8.kfserving.plugins.plugin_utils.here import load
from ansible_collections.iter8.kfserving.plugins.plugin_utils.live import LiveActionModule


class ActionModule(LiveActionModule):
    """A vaulted kubeconfig is decrypted, as it is for the modules that show their progress."""

    _module = load("ingress_info")
    _shows_progress = False
