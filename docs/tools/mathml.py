"""Formulas as MathML, which browsers draw themselves: nothing to load from elsewhere, and no script."""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

SPELLINGS = {r"\dots": r"\ldots", r"\dotsc": r"\ldots", r"\dotsb": r"\cdots", r"\operatorname*": r"\operatorname"}
"""Commands that the converter lacks, and what says the same."""


ROWS = ("math", "mrow", "mstyle", "mtd")
"""Elements whose children stand side by side."""
APPLICATION = "\u2061"
"""The invisible sign between a function and its argument."""
NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
ACCENTS = ("ˆ", "ˉ", "˙", "¨", "˜", "ˇ", "˘", "´", "`", "→", "¯", "^", "~")


def _mended(markup: str) -> str:
    """What the converter does otherwise than TeX, put right."""
    tree = ElementTree.fromstring(markup.replace(NAMESPACE, "", 1).replace("&ApplyFunction;", APPLICATION))
    _put_indices_beside(tree)
    _put_spaces(tree)
    return ElementTree.tostring(tree, encoding="unicode").replace("<math", f"<math{NAMESPACE}", 1)


def _put_spaces(tree: ElementTree.Element) -> None:
    """A thin space between the name of a function, such as log, and what stands beside it without a parenthesis."""
    for parent in list(tree.iter()):
        for sign in [child for child in parent if child.text == APPLICATION and parent.tag in ROWS]:
            parent.remove(sign)
        for left, right in reversed(list(itertools.pairwise(parent if parent.tag in ROWS else ()))):
            beside = right if _is_name(left) else left
            if (_is_name(left) or _is_name(right)) and beside.tag not in ("mo", "mspace", "mtext"):
                parent.insert(list(parent).index(right), ElementTree.Element("mspace", width="0.167em"))


def _is_name(element: ElementTree.Element) -> bool:
    """Whether an element is a name of several letters, or one with an index or an exponent."""
    if element.tag in ("msup", "msub", "msubsup", "munder") and len(element):
        return _is_name(element[0])
    return element.tag == "mi" and len((element.text or "").strip()) > 1


def _put_indices_beside(tree: ElementTree.Element) -> None:
    """The index of a letter with an accent, where the converter takes it for a limit below."""
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


def _markup(writer: Any, node: Any, *, block: bool) -> str:
    """One formula in MathML; a warning, and its source, where it cannot be read."""
    text = node.astext().strip()
    for command, known in SPELLINGS.items():
        text = re.sub(re.escape(command) + r"(?![A-Za-z*])", lambda _, known=known: known, text)
    text = re.sub(r"(\\[td]?frac)\s*([0-9A-Za-z])\s*([0-9A-Za-z])", r"\1{\2}{\3}", text)
    if block and "\\\\" in text and "\\begin" not in text:
        text = f"\\begin{{aligned}}{text}\\end{{aligned}}"
    try:
        return _mended(str(tex2mathml(text, as_block=block)))
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", text, error, location=node)
        return f"<code>{writer.encode(text)}</code>"


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_markup(writer, node, block=False))
    raise nodes.SkipNode


def _displayed(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="formula">{_markup(writer, node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
