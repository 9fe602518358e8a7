"""What the plugin costs, measured: run `python -m benchmarks.overhead` from the checkout's root."""
