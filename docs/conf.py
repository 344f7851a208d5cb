"""Sphinx: `sphinx-build -W docs docs/_build`."""

project = "adiabat"
author = "The adiabat developers"
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_typehints = "description"

html_theme = "furo"
html_title = "adiabat"
