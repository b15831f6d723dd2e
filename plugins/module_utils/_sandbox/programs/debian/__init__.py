# SPDX-License-Identifier: GPL-3.0-or-later
"""Building kube-apiserver from Debian's source package."""
