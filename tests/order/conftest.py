"""Leaves the polluted suites alone: test_culprit_suites copies each, and runs it in processes of its own."""

collect_ignore = ["suites"]
