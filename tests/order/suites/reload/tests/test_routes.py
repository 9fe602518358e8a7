import pytest
import router
from router import RoutingError


def test_each_model_has_an_upstream():
    assert router.route("large").endswith("/b")


def test_an_unknown_model_is_a_routing_error():
    with pytest.raises(RoutingError):
        router.route("huge")
