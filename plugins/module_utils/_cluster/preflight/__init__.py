# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked of a cluster before anything is changed."""
