# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the verdict, by what they look at. Each returns findings with a grade."""
