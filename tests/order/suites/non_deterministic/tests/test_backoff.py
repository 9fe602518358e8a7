import backoff


def test_no_wait_is_endless():
    backoff.LONGEST = 30
    assert backoff.LONGEST < 60


def test_the_first_wait_is_short():
    assert backoff.wait() < 5


def test_there_is_an_upper_bound():
    assert backoff.LONGEST
