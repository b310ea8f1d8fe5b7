"""``PYTHONPATH=.:tests python -m differential --programs 10000``: worker processes cannot import this module, hence the other."""

import sys

from differential.study import main

if __name__ == "__main__":
    sys.exit(main())
