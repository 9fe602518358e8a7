"""Headers of the environment and of the request."""

DEFAULTS = {"X-Env": "A"}
ORDER = ["env", "request"]


def merge(request):
    return {**DEFAULTS, **request}
