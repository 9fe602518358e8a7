import upstream


class TestSession:
    def test_a_session_has_two_clients(self):
        assert len(upstream.session()) == 2

    def test_a_session_waits_for_half_a_minute(self):
        assert [client.call(20) for client in upstream.session()] == ["done", "done"]
