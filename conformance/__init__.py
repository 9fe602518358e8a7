"""The protocol's own conformance suite, run against the upstream: `python -m conformance` from the checkout's root."""
