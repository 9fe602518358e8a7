import proxy


def test_the_request_wins():
    assert proxy.headers({"X-Env": "B"}) == {"X-Env": "B"}


def test_a_request_brings_its_own_headers():
    assert proxy.headers({"X-Req": "C"}) == {"X-Req": "C"}
