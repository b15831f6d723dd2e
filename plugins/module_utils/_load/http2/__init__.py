# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/2 as a client, on the library h2, which is imported here alone and only when it is asked for."""
