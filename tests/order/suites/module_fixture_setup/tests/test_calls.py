import proxy
import pytest


@pytest.fixture(scope="module")
def upstream():
    proxy.UPSTREAM = "http://127.0.0.1:9"  # the write
    return proxy.UPSTREAM


def test_retries_can_be_turned_off():
    proxy.RETRIES = 0
    assert not proxy.RETRIES


def test_a_call_goes_upstream(upstream):
    assert proxy.call("search") == f"{upstream}/search"


def test_retries_are_counted():
    assert proxy.RETRIES >= 0
