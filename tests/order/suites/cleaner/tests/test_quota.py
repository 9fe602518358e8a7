import quota


def test_every_call_is_noted():
    before = len(quota.CALLERS)
    quota.call("vscode")
    assert len(quota.CALLERS) == before + 1


def test_a_call_within_the_quota_is_answered():
    assert quota.call("vscode") == 200
