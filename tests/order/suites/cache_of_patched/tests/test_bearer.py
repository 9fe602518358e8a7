import credentials


def test_the_header_can_be_another():
    credentials.HEADER = "X-Authorization"
    assert credentials.HEADER.endswith("Authorization")


def test_a_token_is_a_bearer(monkeypatch):
    monkeypatch.setenv("UPSTREAM_TOKEN", "t1")
    assert credentials.headers()[credentials.HEADER] == "Bearer t1"


def test_the_header_is_a_text():
    assert isinstance(credentials.HEADER, str)
