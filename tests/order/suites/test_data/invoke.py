"""What the proxy does with a request."""

MAX_HEADERS = 20


def invoke(request):
    headers = request["headers"]
    if len(headers) > MAX_HEADERS:
        return 431
    return 200 if "Authorization" in headers else 401
