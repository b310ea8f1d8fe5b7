"""Formulas as MathML, which browsers draw themselves: nothing to load from elsewhere, and no script."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

SPELLINGS = {r"\dots": r"\ldots", r"\dotsc": r"\ldots", r"\dotsb": r"\cdots", r"\operatorname*": r"\operatorname"}
"""Commands that the converter lacks, and what says the same."""


NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
ACCENTS = ("ˆ", "ˉ", "˙", "¨", "˜", "ˇ", "˘", "´", "`", "→", "¯", "^", "~")


def _with_indices_beside(markup: str) -> str:
    """Put the index of a letter with an accent beside it, where the converter takes it for a limit below."""
    tree = ElementTree.fromstring(markup.replace(NAMESPACE, "", 1))
    for parent in list(tree.iter()):
        for place, child in enumerate(list(parent)):
            if child.tag == "munderover" and (child[2].text or "").strip() in ACCENTS:
                base, index, accent = child
                lettered = ElementTree.Element("mover", accent="true")
                lettered.extend([base, accent])
                beside = ElementTree.Element("msub")
                beside.extend([lettered, index])
                beside.tail = child.tail
                parent[place] = beside
    return ElementTree.tostring(tree, encoding="unicode").replace("<math", f"<math{NAMESPACE}", 1)


def _markup(writer: Any, node: Any, *, block: bool) -> str:
    """One formula in MathML; a warning, and its source, where it cannot be read."""
    text = node.astext().strip()
    for command, known in SPELLINGS.items():
        text = re.sub(re.escape(command) + r"(?![A-Za-z*])", lambda _, known=known: known, text)
    text = re.sub(r"(\\[td]?frac)\s*([0-9A-Za-z])\s*([0-9A-Za-z])", r"\1{\2}{\3}", text)
    if block and "\\\\" in text and "\\begin" not in text:
        text = f"\\begin{{aligned}}{text}\\end{{aligned}}"
    try:
        return _with_indices_beside(str(tex2mathml(text, as_block=block)))
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", text, error, location=node)
        return f"<code>{writer.encode(text)}</code>"


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_markup(writer, node, block=False))
    raise nodes.SkipNode


def _displayed(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{_markup(writer, node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
