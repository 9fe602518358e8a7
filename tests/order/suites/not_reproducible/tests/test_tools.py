import catalog


def test_tools_are_found_in_the_cache():
    assert catalog.cached() == ["search", "fetch"]


def test_the_cache_has_a_place():
    assert catalog.CACHE.parent.is_dir()
