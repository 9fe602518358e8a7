import gateway


def test_health():
    assert gateway.health() == "ok"


def test_a_session_speaks_the_protocol():
    assert gateway.session() == "gateway 2025-06-18"
