# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the control plane's programs come from, and the cache that keeps them."""
