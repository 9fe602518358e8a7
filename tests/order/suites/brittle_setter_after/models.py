"""The models that the proxy offers."""

MODELS = {}
PREFERRED = []


def register(name, url):
    MODELS[name] = url


def route(name):
    return MODELS[name]
