import sys
import types

import gateway


def test_the_gateway_has_a_name():
    gateway.TITLE = "a gateway"
    assert gateway.NAME == "gateway"


def test_the_gateway_does_without_the_sdk():
    session = types.SimpleNamespace(protocol="none")
    sys.modules["mcp_sdk"] = types.SimpleNamespace(Session=session)  # the write
    assert gateway.session() == "gateway none"


def test_other_stubs_are_no_matter():
    sys.modules["fastuuid"] = types.SimpleNamespace(uuid4=lambda: "0" * 32)
    assert gateway.health() == "ok"
