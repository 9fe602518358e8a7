from answers import answer
from settings import settings


def test_a_model_can_be_set():
    settings.model = "large"
    assert settings.model == "large"


def test_streaming_can_be_turned_off():
    settings.stream = False  # the write
    assert answer("a b") == ["a b"]


def test_stops_can_be_added():
    settings.stops.append("STOP")
    assert settings.stops[-1] == "STOP"
