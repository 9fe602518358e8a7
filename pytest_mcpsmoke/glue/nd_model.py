"""The model of a run: where it is, the relay that leads there, and the fixture that gives it to a test."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from typing import Final

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.glue.meter import Meter
from pytest_mcpsmoke.tiers.prices import Prices
from pytest_mcpsmoke.tiers.provider import NdModel, Provider, check, provider_from
from pytest_mcpsmoke.tiers.relay import ModelRelay

METER: Final = pytest.StashKey[Meter]()

_EMBEDDED: Final = "mcpsmoke_nd_embedded"
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
            provider = check(provider_from(os.environ) or self._embedded())
            relay = ModelRelay(provider.base_url, api_key=provider.api_key, prices=prices)
            relay.start()
            self._opened.callback(relay.close)
            self._model = relay, NdModel(relay.base_url, relay.api_key, provider.model or "")
        return self._model

    def pytest_unconfigure(self) -> None:
        """End the relay, and the model that this run has started."""
        self._model = None
        self._opened.close()

    def _embedded(self) -> Provider:
        """Start the model that the project brings along."""
        spec = self._config.getini(_EMBEDDED)
        if not spec:
            raise UsageProblem(
                "ND_REAL=1 needs a model: set ND_REAL_BASE_URL to an OpenAI-compatible base URL, as"
                " http://127.0.0.1:11434/v1 (and ND_REAL_MODEL, ND_REAL_API_KEY)"
            )
        running = _imported(spec, str(self._config.rootpath))
        try:
            base_url = self._opened.enter_context(running)
        except Exception as error:
            raise UsageProblem(f"ini {_EMBEDDED}={spec}: does not start: {error}") from error
        return Provider(base_url, None, None, source=f"ini {_EMBEDDED}={spec}")


def _imported(spec: str, root: str) -> AbstractContextManager[str]:
    """Call `package.module:function`, found as a test would find it, or in the rootdir."""
    module, _, name = spec.partition(":")
    sys.path.append(root)
    try:
        made: AbstractContextManager[str] = getattr(import_module(module), name)()
        return made
    except (ImportError, AttributeError, ValueError) as error:
        wanted = "a context manager, as package.module:function, that yields the base URL of a model"
        raise UsageProblem(f"ini {_EMBEDDED}={spec}: {error}; name {wanted}") from error
    finally:
        sys.path.remove(root)
