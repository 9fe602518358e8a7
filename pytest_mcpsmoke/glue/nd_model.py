"""The model of a run: where it is, the relay that leads there, and the fixture that gives it to a test."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Final

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.glue.meter import Meter
from pytest_mcpsmoke.tiers.address import usable
from pytest_mcpsmoke.tiers.prices import Prices
from pytest_mcpsmoke.tiers.provider import NdModel, Provider, check, provider_from
from pytest_mcpsmoke.tiers.relay import ModelRelay

METER: Final = pytest.StashKey[Meter]()

_HOOK: Final = "pytest_mcpsmoke_nd_model"
_PRICES: Final = "mcpsmoke_nd_prices"


def uses_model(item: pytest.Item) -> bool:
    """Whether a test, or a fixture of it, asks for nd_model by name."""
    return "nd_model" in getattr(item, "fixturenames", ())


def model_of(item: pytest.Item) -> NdModel:
    """What the fixture nd_model gives to a test; fails the test that is not of the tier."""
    meter = item.stash.get(METER, None)
    if meter is None:
        text = "nd_model: this test asks a real model: mark it @pytest.mark.nd_real(…)"
        raise pytest.fail.Exception(text, pytrace=False)
    try:
        return meter.join()
    except UsageProblem as problem:  # asked for by name in the test: not known when items were collected
        raise pytest.fail.Exception(str(problem), pytrace=False) from None


class ModelAccess:
    """Finds the provider, and starts the relay, once in each process that runs tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._opened = ExitStack()
        self._model: tuple[ModelRelay, NdModel] | None = None

    def open(self) -> tuple[ModelRelay, NdModel]:
        """Return the relay, and what a test is given of it.

        Raises UsageProblem, with URL and remedy, when no provider is set, or the one that is does not answer.
        """
        if self._model is None:
            config = self._config
            prices = Prices.of(config.getini(_PRICES), f"ini {_PRICES}")
            provider = check(provider_from(os.environ) or self._own())
            relay = ModelRelay(provider.base_url, api_key=provider.api_key, prices=prices)
            relay.start()
            self._opened.callback(relay.close)
            self._model = relay, NdModel(relay.base_url, relay.api_key, provider.model or "")
        return self._model

    def pytest_unconfigure(self) -> None:
        """End the relay, and the model that this run has started."""
        self._model = None
        self._opened.close()

    def _own(self) -> Provider:
        """Start the model that the project brings along."""
        running = self._config.hook.pytest_mcpsmoke_nd_model(config=self._config)
        if running is None:
            raise UsageProblem(
                "ND_REAL=1 needs a model: set ND_REAL_BASE_URL to an OpenAI-compatible base URL, as"
                " http://127.0.0.1:11434/v1 (and ND_REAL_MODEL, ND_REAL_API_KEY)"
            )
        if not hasattr(type(running), "__enter__"):
            wanted = "a context manager that yields the base URL of a model"
            raise UsageProblem(f"{_HOOK}: {type(running).__name__} is no context manager; return {wanted}")
        try:
            base_url = self._opened.enter_context(running)
        except Exception as error:
            raise UsageProblem(f"{_HOOK}: the model does not start: {error}") from error
        return Provider(usable(base_url, _HOOK), None, None, source=_HOOK)
