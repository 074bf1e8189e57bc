"""How Sphinx builds the documentation site (`make site`).

The source directory is the top of the repository, so that links between the pages, the README and the source files
are the same on the site as in the repository.
"""

from importlib.metadata import version as version_of

project = author = copyright = "ipmasq"
version = release = version_of("ipmasq")

extensions = ["myst_parser", "sphinx.ext.autodoc", "tools.site_commands"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/**/*.md",
    "contrib/README.md",
    "examples/*/README.md",
    "fuzz/README.md",
    "tests/hostile/README.md",
    "tests/soak/README.md",
]

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False

html_theme = "furo"
html_title = f"ipmasq {version}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_additional_pages = {"index": "to_the_index.html"}
templates_path = ["theme"]
