"""The tiers: smoke without a network, the sampling plan of nd_real and its verdict, the relay to the model."""
