"""The models that the proxy offers."""

MODELS = {}
PREFERRED = []


def register(name, url):
    MODELS[name] = url  # the write


def route(name):
    return MODELS[name]
