import credentials


def test_the_header_can_be_another():
    credentials.HEADER = "X-Authorization"
    assert credentials.HEADER.endswith("Authorization")


def test_no_token_is_sent_without_one():
    assert credentials.headers() == {}


def test_the_header_is_a_text():
    assert isinstance(credentials.HEADER, str)
