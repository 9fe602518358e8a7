import pytest
from gateway.errors import ToolError


def test_tool_errors_have_a_text():
    assert str(ToolError("no such tool")) == "no such tool"


def test_an_unknown_tool_is_a_tool_error():
    from gateway.calls import call

    with pytest.raises(ToolError):
        call("forecast")
