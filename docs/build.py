"""Build the site into ``docs/_build/html``: ``python docs/build.py``. Warnings are errors, links between pages are checked.

Notebooks and programs of the gallery come from the outputs stored beside them; those whose source has changed since are executed again.
``--execute`` executes all of them."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def main() -> int:
    """Build; return what Sphinx returns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--execute", action="store_true", help="execute all notebooks and programs of the gallery")
    parser.add_argument("--fresh", action="store_true", help="read every page again")
    args = parser.parse_args()
    sys.path.insert(0, str(DOCS.parent))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(DOCS.parent), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if args.execute:
        os.environ["HESSIAN_DOCS_EXECUTE"] = "1"
    from sphinx.cmd.build import main as sphinx

    started = time.perf_counter()
    options = [
        "-b",
        "html",
        "-W",
        "--keep-going",
        "-q",
        "-j",
        str(os.cpu_count() or 1),
        *(["-E", "-a"] if args.fresh else []),
    ]
    code = sphinx([*options, "-d", str(DOCS / "_build" / "doctrees"), str(DOCS), str(DOCS / "_build" / "html")])
    print(
        f"{'built' if code == 0 else 'failed'} in {time.perf_counter() - started:.0f} s: {DOCS / '_build' / 'html' / 'index.html'}"
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
