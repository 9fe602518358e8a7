import proxy
import pytest


@pytest.fixture(scope="session")
def upstream():
    proxy.UPSTREAM = "http://127.0.0.1:9"
    yield proxy.UPSTREAM
    proxy.UPSTREAM = None
