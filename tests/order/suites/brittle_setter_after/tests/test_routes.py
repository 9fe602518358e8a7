import models
import pytest


def test_an_unknown_model_has_no_route():
    with pytest.raises(KeyError):
        models.route("huge")


def test_a_registered_model_is_routed():
    assert models.route("local") == "http://127.0.0.1:8000"
