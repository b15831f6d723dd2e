# SPDX-License-Identifier: GPL-3.0-or-later
"""iter8-analytics: `python3 -m …_sandbox.analytics.main`."""
