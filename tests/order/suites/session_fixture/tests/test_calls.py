import proxy


def test_a_proxy_has_a_name():
    proxy.NAME = "proxy under test"
    assert proxy.NAME.startswith("proxy")


def test_a_call_goes_upstream(upstream):
    assert proxy.call("search") == f"{upstream}/search"


def test_a_name_is_a_text():
    assert isinstance(proxy.NAME, str)
