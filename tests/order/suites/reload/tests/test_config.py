import importlib

import router
import weights


def test_weights_add_up():
    weights.WEIGHTS["c"] = 1
    assert weights.total() == 3


def test_the_region_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("ROUTER_REGION", "us")
    importlib.reload(router)  # the write
    assert router.REGION == "us"


def test_a_region_leads_the_route():
    assert router.route("small").startswith(f"{router.REGION}/")
