# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to the API server: authentication, requests, watches, errors that say what to do."""
