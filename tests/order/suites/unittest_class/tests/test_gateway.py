import unittest

import gateway


class GatewayTest(unittest.TestCase):
    def test_labels_are_texts(self):
        assert all(isinstance(text, str) for text in gateway.LABELS.values())

    def test_a_call_is_answered(self):
        assert gateway.call("search") == "search: done"
