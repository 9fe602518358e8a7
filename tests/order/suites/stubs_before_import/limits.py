"""What the app allows."""

PROMPT = 2000
