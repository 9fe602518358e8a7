"""The tiers: the sampling plan of nd_real, its verdict, and the relay to the model."""
