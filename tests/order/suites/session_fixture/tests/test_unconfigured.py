import proxy


def test_the_name_needs_no_upstream():
    assert proxy.NAME


def test_without_an_upstream_nothing_is_called():
    assert proxy.call("search") == "no upstream"
