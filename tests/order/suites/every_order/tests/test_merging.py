import merging


def test_the_request_wins():
    assert merging.merge({"X-Env": "B"})["X-Env"] == "B"


def test_names_of_headers_are_not_case_sensitive():
    merged = merging.merge({"x-env": "B"})
    assert [value for name, value in merged.items() if name.lower() == "x-env"] == ["B"]


def test_all_defaults_are_sent():
    assert merging.DEFAULTS.items() <= merging.merge({}).items()
