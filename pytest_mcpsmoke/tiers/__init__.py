"""The tiers of tests: what a marker asks for, and what its samples prove."""
