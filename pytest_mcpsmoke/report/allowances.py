"""Allowances: places that may stay changed, each declared somewhere and with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.state.globs import matches

if TYPE_CHECKING:
    from pytest_mcpsmoke.report.model import Finding

EVERYBODY = "*"

# A key in brackets is one token: what looks like a comment inside it is part of the place.
_LINE: Final = r"""(?x)(?s) (?P<place> (?: \['[^']*'\] | \["[^"]*"\] | (?! \s\# | \A\# ) . )* )
        (?: \s*\#\s* (?P<reason> .* ) )?"""


def enclosing(owner: str) -> Iterator[str]:
    """Yield what an owner's id lies in, from "*" over folders, file and class to the id itself."""
    yield EVERYBODY
    path, colons, name = owner.partition("::")
    whole = path + colons + name.partition("[")[0]
    yield from (whole[: step.start()] for step in re.finditer("/|::", whole))
    yield from dict.fromkeys((whole, owner))


class Declared(NamedTuple):
    """One place of an allowance, and what is said of it when it turns out to be stale."""

    place: str
    source: str
    owner: str

    @property
    def line(self) -> str:
        """The line of the terminal about a stale allowance."""
        # the source of a marker and of a conftest's line tells whom it covers, a file's does not
        whose = "" if self.owner == EVERYBODY or self.owner in self.source else f" of {self.owner}"
        return f"stale allowance: {self.place}{whose}  ({self.source}): matched nothing; delete it"

    def record(self) -> dict[str, Any]:
        """Return the JSON object of the report contract about a stale allowance."""
        return {"type": "stale", "allowance": self.place, "source": self.source, "owner": self.owner}


class Allowance(NamedTuple):
    """Places that may stay changed, and why.

    places: as the report names them, or globs. source: where this is declared, as text. owners: whose
    changes it covers: "*", or the id of an owner or a folder, with everything below it.
    """

    places: tuple[str, ...]
    reason: str
    source: str
    owners: str = EVERYBODY

    def covers(self, finding: Finding) -> bool:
        """Whether it declares what a finding tells of."""
        is_concerned = self.owners in enclosing(finding.owner)
        return is_concerned and any(matches(finding.place, place) for place in self.places)

    def declared(self) -> Iterator[Declared]:
        """Yield its places one by one."""
        return (Declared(place, self.source, self.owners) for place in self.places)


def read_lines(lines: object, source: str, owners: str = EVERYBODY) -> list[Allowance]:
    """Return the allowances of a list of texts "place-glob  # reason".

    Raises UsageProblem, naming source, for anything else.
    """
    if not isinstance(lines, list | tuple):
        raise UsageProblem(f'{source}: a {type(lines).__name__}; write a list: ["place-glob  # reason"]')
    return [_read_line(line, source, owners) for line in lines]


def _read_line(line: object, source: str, owners: str) -> Allowance:
    if not isinstance(line, str):
        kind = type(line).__name__
        raise UsageProblem(f'{source}: holds a {kind}; write each as a text: "place-glob  # reason"')
    text = line.strip()
    found = re.fullmatch(_LINE, text)
    place, reason = (found["place"].rstrip(), found["reason"]) if found else ("", None)
    if not place:
        raise UsageProblem(f"{source}: {text!r}: no place; write place-glob  # reason")
    if not reason:
        raise UsageProblem(f"{source}: {text!r}: no reason; write {place}  # why it may stay changed")
    return Allowance((place,), reason, source, owners)
