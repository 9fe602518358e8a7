import catalog as gateway
import pytest


@pytest.fixture(scope="module")
def catalog():
    return gateway.Catalog(["fetch", "search", "forecast"])


def test_clients_are_counted():
    assert gateway.note("codex") == 1


def test_a_tool_can_be_withdrawn(catalog):
    catalog.withdraw("forecast")
    assert "forecast" not in catalog.text()


def test_a_client_is_counted_once():
    assert gateway.note("vscode") == gateway.note("vscode")


def test_search_is_offered(catalog):
    assert "search" in catalog.text()


def test_the_catalog_lists_all_tools(catalog):
    assert catalog.text() == "fetch, search, forecast"
