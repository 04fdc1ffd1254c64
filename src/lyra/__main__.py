"""``python -m lyra`` is the command ``lyra``."""

import sys

from lyra.cli import main

if __name__ == "__main__":
    sys.exit(main())
