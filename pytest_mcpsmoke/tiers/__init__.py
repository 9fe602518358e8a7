"""The tiers: smoke without a network, the plans and verdicts of nd_real, the relay to the model."""
