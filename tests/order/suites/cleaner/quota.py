"""How many calls are left."""

QUOTA = {"left": 100, "month": 1}
CALLERS = []


def call(caller):
    CALLERS.append(caller)
    if not QUOTA["left"]:
        return 429
    return 200


def new_month():
    QUOTA["left"] = 100
    QUOTA["month"] += 1
