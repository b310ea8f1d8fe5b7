"""The words of a page's index entries, found by the search box in any order and beside the words of its text."""

import re

from docutils import nodes
from sphinx import addnodes


def setup(app):
    app.connect("doctree-read", add_keywords)
    return {"parallel_read_safe": True}


def add_keywords(app, doctree):
    """Say the words of the main index entries (``! word``) once more as keywords, which Sphinx's search reads one by one.

    An entry by itself is found only by its own words, all of them: ``volatility`` but not ``volatility model``.
    """
    entries = (entry for node in doctree.findall(addnodes.index) for entry in node["entries"])
    words = {word for _, text, _, main, _ in entries if main for word in re.findall(r"\w+", text.lower())}
    if words:
        doctree.insert(0, nodes.meta("", name="keywords", content=", ".join(sorted(words))))
