import auth


def test_a_call_has_a_scope():
    assert auth.SCOPES


def test_a_call_is_made_for_the_caller():
    assert auth.caller() == "codex"
