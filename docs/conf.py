"""Sphinx's settings. The generated pages (reference, notebooks, gallery, benchmarks, changelog) are written by ``docs/tools`` when a build
begins, whoever starts it; ``docs/build.py`` is the usual way."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))
os.environ.setdefault("MPLBACKEND", "Agg")

import hessian  # noqa: E402
from docs.tools import generate  # noqa: E402

project = "hessian"
author = "hessian developers"
copyright = author
version = release = hessian.__version__

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "docs.tools.plots",
    "docs.tools.mathml",
    "docs.tools.aliases",
    "docs.tools.search_words",
]
exclude_patterns = ["_build", "tools", "gallery/README.md", "**.py"]
nitpicky = True
nitpick_ignore: list[tuple[str, str]] = []

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 130)]
plot_include_source = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"hessian {release}"
html_static_path = ["_static"]
html_favicon = "_static/logo.svg"
html_css_files = ["site.css"]
html_search_scorer = str(DOCS / "_static" / "scorer.js")
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_sidebars: dict[str, list[str]] = {"index": [], "start": [], "changelog": []}
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "logo": {
        "text": "hessian",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "hessian",
    },
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app):
    app.connect(
        "builder-inited", lambda app: generate.write(DOCS, execute=bool(os.environ.get("HESSIAN_DOCS_EXECUTE")))
    )
