# SPDX-License-Identifier: GPL-3.0-or-later
"""The server that counts what it was asked, as the load engine's own tests have it."""

from ansible_collections.iter8.kfserving.tests.component.load.conftest import serve

__all__ = ["serve"]
