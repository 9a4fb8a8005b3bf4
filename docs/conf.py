"""Builds the documentation. Owns the site's settings; reference tables are written by `generate.py` from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

from golive import __version__

project = "golive"
author = "The golive authors"
copyright = "The golive authors, Apache-2.0"  # noqa: A001, Sphinx wants this name
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated"]
html_theme = "furo"
html_title = "golive"
html_show_sphinx = False
nitpicky = True

generate.write_all(Path(__file__).parent / "_generated")
