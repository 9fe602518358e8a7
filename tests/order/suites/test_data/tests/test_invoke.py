import invoke

REQUEST = {"model": "small", "messages": [], "headers": {"Accept": "application/json"}}


def test_there_are_limits():
    invoke.MAX_HEADERS = 5
    assert invoke.invoke({"headers": dict.fromkeys("abcdef")}) == 431


def test_the_model_does_not_matter():
    REQUEST["model"] = "large"
    assert invoke.invoke({**REQUEST, "headers": {"Authorization": "Bearer x"}}) == 200


def test_a_token_is_passed_on():
    request = dict(REQUEST)
    request["headers"]["Authorization"] = "Bearer x"  # the write
    assert invoke.invoke(request) == 200


def test_messages_do_not_matter():
    assert invoke.invoke({"messages": ["hi"], "headers": {}}) == 401


def test_a_request_without_a_token_is_refused():
    assert invoke.invoke(REQUEST) == 401
