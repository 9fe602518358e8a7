"""`python -m conformance` runs the suite."""

import sys

from conformance.command import main

sys.exit(main())
