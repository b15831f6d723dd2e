# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 as a client that believes nothing: requests made, answers read strictly, a connection's state."""
