"""The tiers: what smoke and nd_real mean, without pytest."""
