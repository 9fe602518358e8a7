"""The protocol's own conformance suite against the upstream: `python -m conformance` in the checkout."""
