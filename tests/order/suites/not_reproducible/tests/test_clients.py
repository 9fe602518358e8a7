import catalog


def test_a_client_is_noted():
    catalog.CLIENTS.append("codex")
    assert "codex" in catalog.CLIENTS


def test_two_clients_are_noted():
    catalog.CLIENTS.extend(["vscode", "webui"])
    assert len(catalog.CLIENTS) >= 2


def test_the_cache_is_a_text_file():
    assert catalog.CACHE.suffix == ".txt"
