import unittest

import gateway


class LabelsTest(unittest.TestCase):
    def test_labels_can_be_set(self):
        gateway.LABELS["tier"] = "smoke"
        assert gateway.LABELS["tier"] == "smoke"


class DownTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        gateway.send = lambda tool: None  # the write

    def test_nobody_answers(self):
        assert gateway.call("search") is None
