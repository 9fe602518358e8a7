"""The tools that the gateway offers."""

TOOLS = {"fetch": str.upper, "search": str.lower}
ALIASES = {"find": "search"}


def call(name, text):
    return TOOLS[ALIASES.get(name, name)](text)


def listing():
    return sorted(TOOLS)
