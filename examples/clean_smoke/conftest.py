"""Makes `reference_app` importable, and the marker `smoke` known where the plugin is turned off."""

import sys
from pathlib import Path

# Appended, so that the checkout shadows nothing that is installed.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: a smoke test")
