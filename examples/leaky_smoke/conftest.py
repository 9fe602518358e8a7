"""Makes `reference_app` importable; appended, so that the checkout shadows nothing that is installed."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)
