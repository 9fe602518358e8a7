import os

import proxy


def test_the_region_comes_from_the_environment():
    os.environ["PROXY_REGION"] = "us"
    assert proxy.region() == "us"


def test_headers_come_from_the_environment():
    os.environ["PROXY_HEADERS"] = '{"X-Env": "A"}'  # the write
    assert proxy.headers({}) == {"X-Env": "A"}


def test_an_empty_environment_brings_none(monkeypatch):
    monkeypatch.delenv("PROXY_HEADERS", raising=False)
    assert proxy.headers({}) == {}
