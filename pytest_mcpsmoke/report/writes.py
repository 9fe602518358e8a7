"""The statements that changed a place, as records and as text."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from pytest_mcpsmoke.order.reaching import module_names
from pytest_mcpsmoke.report.model import SiteText
from pytest_mcpsmoke.report.text import plural, site_line
from pytest_mcpsmoke.state.describe import describe_pair, redact_value
from pytest_mcpsmoke.state.lines import Written, chain_of
from pytest_mcpsmoke.state.live import Difference
from pytest_mcpsmoke.state.nodes import shown
from pytest_mcpsmoke.state.program import is_program_file
from pytest_mcpsmoke.state.writer import Files

_MOST_PARTS: Final = 3


def write_record(
    written: Written,
    lasts: bool,
    nodeid: str,
    stage: str,
    place: str,
    files: Files,
    relative: Callable[[str], str],
) -> dict[str, Any]:
    """Return the JSON object of one write; relative makes paths as pytest prints them."""
    before, after = _texts(written.difference, place)
    return {
        "type": "write",
        "nodeid": nodeid,
        "stage": stage,
        "place": place,
        "change": written.difference.change,
        "before": before,
        "after": after,
        "thread": written.thread,
        "times": written.times,
        "certainty": "observed" if written.is_sure else "inferred",
        "chain": [
            {"path": relative(path), "line": line, "function": function}
            for path, line, function in chain_of(written.stack, files)
        ],
        "lasts": lasts,
    }


def _texts(difference: Difference, place: str) -> tuple[str, str]:
    """What stood there and what stands there now; of parts inside the first, with their labels."""
    if difference.texts is not None:
        return redact_value(difference.texts[0]), redact_value(difference.texts[1])
    parts = difference.parts
    if len(parts) == 1 and parts[0].label == "":
        return describe_pair(parts[0].before, parts[0].after, place)
    told = [part for part in parts if part.label != ""][:_MOST_PARTS] or [*parts[:1]]
    pairs = [
        (shown(part.label), *describe_pair(part.before, part.after, place + part.label)) for part in told
    ]
    more = ", …" if len(parts) > len(told) else ""
    before, after = (", ".join(f"{pair[0]}: {pair[at]}" for pair in pairs) + more for at in (1, 2))
    return before, after


def write_lines(record: dict[str, Any], root: str, is_last_of_many: bool = False) -> list[str]:
    """Return one write: what changed, and the way from the test to the statement, which stands last.

    Of the way only the project's lines are told, and the statement. is_last_of_many: it made what is left.
    """
    facts = [record["stage"]]
    facts += [] if record["thread"] == "MainThread" else [f"thread {record['thread']}"]
    facts += [plural(record["times"], "time")] if record["times"] > 1 else []
    facts += ["the last"] if is_last_of_many else []
    facts += [] if record["certainty"] == "observed" else ["the likeliest line"]
    lines = [f"{record['place']}: {record['before']} -> {record['after']} ({', '.join(facts)})"]
    chain = record["chain"]
    own = [step for step in chain[:-1] if _is_own(step, root)]
    for step in [*own, *chain[-1:]]:
        site = SiteText(step["path"], step["line"], step["function"], "observed")
        lines.append(f"  {site_line(site, record['place'], root)}   in {step['function']}")
    return lines


def all_lines(records: list[dict[str, Any]], root: str) -> list[str]:
    """Return the lines of several writes, in their order."""
    last = len(records) - 1
    return [line for at, record in enumerate(records) for line in write_lines(record, root, 0 < at == last)]


def way_to(records: Sequence[dict[str, Any]], owner: str, victim: str, root: str) -> tuple[SiteText, ...]:
    """Return the way to the last write before the victim ran: the program's lines, the statement last.

    records: the writes of one run, in their order; those of the owner count, where it is known to write, and
    those whose change lasts, where one does. Empty: nobody but the victim wrote.
    """
    own = [record for record in records if record["nodeid"] == owner]
    others = [record for record in records if record["nodeid"] not in (victim, victim.partition("::")[0])]
    if not (own or others):
        return ()
    record = next((one for one in reversed(own or others) if one["lasts"]), (own or others)[-1])
    steps = [step for step in record["chain"] if _is_own(step, root)] or record["chain"][-1:]
    while len(steps) > 1 and _is_body_of(steps[-1], record["place"]):
        del steps[-1]
    certainty: Final = "observed" if record["certainty"] == "observed" else "searched"
    return tuple(SiteText(step["path"], step["line"], step["function"], certainty) for step in steps)


def _is_body_of(step: dict[str, Any], place: str) -> bool:
    """Whether a line is of the body of the module that a place lies in: who reloads it writes."""
    names = module_names(step["path"])
    return step["function"] == "<module>" and any(f"{place}.".startswith(f"{name}.") for name in names)


def _is_own(step: dict[str, Any], root: str) -> bool:
    """Whether a line is the program's or the tests', not of the interpreter or of what is installed."""
    return is_program_file(os.path.join(root, step["path"]))
