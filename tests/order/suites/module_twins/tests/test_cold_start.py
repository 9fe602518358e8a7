import sys

import gateway.calls
import gateway.settings


def test_calls_are_retried():
    gateway.settings.RETRIES = 3
    assert gateway.settings.RETRIES == 3


def test_a_cold_start_reads_the_settings_again(monkeypatch):
    monkeypatch.setenv("GATEWAY_REGION", "us")
    for name in [name for name in sys.modules if name.startswith("gateway")]:
        del sys.modules[name]
    import gateway.calls  # the write
    import gateway.settings

    assert (gateway.settings.REGION, gateway.calls.call("search")) == ("us", "found")


def test_a_search_finds():
    assert gateway.calls.call("search") == "found"
