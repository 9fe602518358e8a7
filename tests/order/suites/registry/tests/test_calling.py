import pytest
from gateway import tools


def test_a_tool_that_was_registered_is_called():
    tools.TOOLS["echo"] = str  # the write
    assert tools.call("echo", "a") == "a"


def test_a_tool_that_nobody_knows():
    with pytest.raises(KeyError):
        tools.call("forecast", "a")
