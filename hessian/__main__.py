"""``python -m hessian``."""

from __future__ import annotations

from hessian.cli import main

if __name__ == "__main__":
    raise SystemExit(main())  # unseen: a process of its own
