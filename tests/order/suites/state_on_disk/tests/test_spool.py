import spool


def test_the_spool_is_a_folder(folder):
    assert folder.is_dir()


def test_an_empty_spool_has_nothing_to_send(folder):
    assert spool.waiting(folder) == []
