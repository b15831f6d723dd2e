# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted while a load runs: histograms, seconds, the ledger of failures, outages."""
