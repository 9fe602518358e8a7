import quota


def test_months_have_numbers():
    assert quota.QUOTA["month"] > 0


def test_a_new_month_brings_a_new_quota():
    quota.new_month()
    assert quota.QUOTA["left"] == 100
