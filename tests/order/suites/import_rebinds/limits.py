"""What the gateway allows."""

LONGEST = 1000
WIDEST = 10


def check(prompt):
    if len(prompt) > LONGEST:
        raise ValueError(f"a prompt of {len(prompt)} characters, of {LONGEST}")
    return prompt
