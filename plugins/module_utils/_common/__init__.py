# SPDX-License-Identifier: GPL-3.0-or-later
"""What every room may use: files written whole, processes told apart, quantities. Standard library alone."""
