import quota


def test_callers_are_noted():
    assert quota.call("codex") == 200
    assert quota.CALLERS == ["codex"]


def test_a_quota_that_is_used_up_stops_calls():
    quota.QUOTA["left"] = 0  # the write
    assert quota.call("codex") == 429
