# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server as the sandbox's programs see it."""
