import models


def test_models_have_names():
    models.PREFERRED.append("small")
    assert all(models.PREFERRED)


def test_a_model_can_be_registered():
    models.register("local", "http://127.0.0.1:8000")
    assert "local" in models.MODELS


def test_a_model_can_be_preferred():
    models.PREFERRED.insert(0, "large")
    assert models.PREFERRED[0] == "large"
