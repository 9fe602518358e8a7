"""Sphinx settings: `python -m sphinx -W docs docs/_build` with what docs/requirements.txt names."""

project = "pytest-mcpsmoke"
author = "the pytest-mcpsmoke developers"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "pytest-mcpsmoke"
html_copy_source = False
myst_heading_anchors = 3
