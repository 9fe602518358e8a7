import pytest
from upstream import Client


class TestNames:
    def test_the_agent_is_named_in_the_error(self):
        Client.agent = "tests/1"
        with pytest.raises(TimeoutError, match="tests/1"):
            Client().call(31)

    def test_it_answers(self):
        assert Client().call(0) == "done"


class TestTimeouts:
    def test_a_slow_upstream_is_given_up(self):
        Client.timeout = 0.5  # the write
        with pytest.raises(TimeoutError):
            Client().call(1)

    def test_a_fast_one_is_not(self):
        assert Client().call(0.1) == "done"
