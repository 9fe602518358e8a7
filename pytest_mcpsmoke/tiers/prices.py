"""What tokens cost, for models whose answers do not tell."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from math import isfinite
from typing import Final, NamedTuple, Self

from pytest_mcpsmoke.errors import UsageProblem

_MILLION = 1_000_000


class Price(NamedTuple):
    """The price of one or more models, per million tokens, in a currency of the user's choice."""

    model: str  # a glob
    prompt: float
    completion: float


class Prices(NamedTuple):
    """A price list; the first line whose glob fits a model counts."""

    lines: tuple[Price, ...] = ()

    @classmethod
    def of(cls, lines: Iterable[str], source: str) -> Self:
        """Read a price list: lines `model-glob prompt-price completion-price`, per million tokens.

        Empty lines, and what follows a `#`, do not count. Raises UsageProblem, naming `source` and the line,
        for one that cannot be read.
        """
        told = ((line, line.partition("#")[0].split()) for line in lines)
        return cls(tuple(_price(words, f"{source}: {line.strip()!r}") for line, words in told if words))

    def cost(self, model: str | None, prompt: int | None, completion: int | None) -> float | None:
        """Return what a call costs; None when tokens or price are not known."""
        if model is None or prompt is None or completion is None:
            return None
        price = next((line for line in self.lines if fnmatchcase(model, line.model)), None)
        return price and (prompt * price.prompt + completion * price.completion) / _MILLION


UNPRICED: Final = Prices()


def _price(words: list[str], where: str) -> Price:
    try:
        model, *prices = words
        prompt, completion = map(float, prices)
    except ValueError:
        prompt = completion = -1.0
    if not all(isfinite(price) and price >= 0 for price in (prompt, completion)):
        raise UsageProblem(
            f"{where}: expected MODEL PROMPT COMPLETION, the prices of a million tokens: 'gpt-4o* 2.50 10'"
        )
    return Price(model, prompt, completion)
