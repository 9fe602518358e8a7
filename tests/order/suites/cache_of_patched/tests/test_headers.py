import credentials


def test_headers_have_names():
    assert credentials.HEADER


def test_a_token_from_the_environment_is_sent(monkeypatch):
    monkeypatch.setenv("UPSTREAM_TOKEN", "t0")
    assert list(credentials.headers().values()) == ["Bearer t0"]
