import auth


def test_scopes_can_be_added():
    auth.SCOPES.add("write")
    assert "write" in auth.SCOPES


def test_a_caller_logs_in():
    auth.log_in("codex")
    assert auth.SESSION["caller"] == "codex"


def test_reading_is_always_allowed():
    assert "read" in auth.SCOPES
