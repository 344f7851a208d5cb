"""`python -m adiabat` is the command `adiabat`."""

import sys

from adiabat.cli.main import main

sys.exit(main())
