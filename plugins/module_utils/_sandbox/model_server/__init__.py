# SPDX-License-Identifier: GPL-3.0-or-later
"""The process behind a revision: `python3 -m …_sandbox.model_server.main`."""
