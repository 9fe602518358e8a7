import proxy


def test_there_are_retries_or_none():
    assert proxy.RETRIES in (0, 2)


def test_without_an_upstream_nothing_is_called():
    assert proxy.call("search") == "no upstream"
