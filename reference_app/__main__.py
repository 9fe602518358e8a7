"""`python -m reference_app` serves the app."""

import sys

from reference_app.serve import main

sys.exit(main())
