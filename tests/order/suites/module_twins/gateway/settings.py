"""Read once, when the module is imported."""

import os

REGION = os.environ.get("GATEWAY_REGION", "eu")
RETRIES = 2
