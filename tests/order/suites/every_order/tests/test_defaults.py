import merging


def test_defaults_can_be_added():
    merging.DEFAULTS["X-Team"] = "core"
    assert merging.merge({})["X-Team"] == "core"


def test_the_order_can_be_turned():
    merging.ORDER.reverse()
    assert merging.ORDER[0] == "request"
