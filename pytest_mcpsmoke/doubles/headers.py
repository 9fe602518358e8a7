"""Headers as they were sent: a view by name, and as text without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pytest_mcpsmoke.doubles.shown import show_header, text_of

Pair = tuple[bytes, bytes]


class HeaderView(Mapping[str, str]):
    """Headers by name, in whatever case; values of a name that stands several times are joined by ", ".

    Iterating yields the names as they were sent, each once. Its repr hides secrets.
    """

    def __init__(self, raw: Iterable[Pair]) -> None:
        self._raw = tuple(raw)

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        names: dict[bytes, bytes] = {}
        for name, _ in self._raw:
            names.setdefault(name.lower(), name)
        return map(text_of, names.values())

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._raw})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.all(name))

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order."""
        wanted = name.lower().encode("utf-8")
        return [text_of(value) for other, value in self._raw if other.lower() == wanted]

    def casings(self, name: str) -> list[str]:
        """The name as it was sent, as often as it was sent."""
        wanted = name.lower().encode("utf-8")
        return [text_of(other) for other, _ in self._raw if other.lower() == wanted]

    def __repr__(self) -> str:
        return f"HeaderView({', '.join(show_header(name, value) for name, value in self._raw)})"
