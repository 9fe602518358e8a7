import filters
import pytest

NAMES = ["keep a/b.py::c", "keep [none]", "drop a::b [all] 'ä' --x=1", "keep $HOME `ls` \\ | ;"]


@pytest.mark.parametrize("name", NAMES, ids=NAMES)
def test_a_filter_is_kept(name):
    filters.FILTERS[name] = True  # the write
    assert name in filters.FILTERS
