# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's site, for `make docs`: the pages of docs/ before the reference that antsibull-docs writes."""

from __future__ import annotations

project = "iter8.kfserving"
author = "The iter8.kfserving contributors"
html_title = "iter8.kfserving"
extensions = ["myst_parser"]
# Headings can be linked to by name, as on a forge.
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# Blocks of output, and of several languages' mixtures, are shown as they are.
highlight_language = "none"
