"""Headers from the environment; those of the request win."""

import json
import os


def headers(request):
    return {**json.loads(os.environ.get("PROXY_HEADERS", "{}")), **request}


def region():
    return os.environ.get("PROXY_REGION", "eu")
