"""What recording costs a request: plain httpx with a MockTransport, ours, respx and pytest-httpx, in one run.

    python -m benchmarks.recording [--requests 200] [--rounds 60]

Every stack answers the same GET with the same JSON, sync and async. A round sends so many requests through
each of them, in turns, so that none always has the same place; what it recorded is dropped after its turn,
and the garbage collector is on, as in a test run. Times are CPU time of this process, which a busy machine
disturbs less. "us" is the median of the rounds for one request, "x plain" its ratio to the same library's
plain client, "x min" the ratio of the fastest rounds. Plain runs twice a round: how far "plain again" is from
1 is the noise.

respx patches httpcore, and pytest-httpx patches httpx's transports; both are set up as their fixtures do
it, without a pytest run. Neither knows httpx2: there are ours and plain only.

Needs: pip install 'pytest-mcpsmoke[http]' pytest-httpx (or the dependency group `peers`). What is missing is
left out, and named. A missed goal is no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, Final
from unittest import mock

URL: Final = "http://tools.test/tools"
HEADERS: Final = {"X-Env": "A", "X-Request-Id": "1"}
ANSWER: Final = {"tools": ["greet"], "ok": True}
GOAL: Final = 1.15

Made = tuple[Any, Callable[[], object]]  # a client, and what drops the records of a turn


def plain(library: Any, kind: str, stack: ExitStack) -> Made:
    """A client over a MockTransport."""
    return _client(library, kind)(transport=_mock_transport(library), headers=HEADERS), _nothing


def ours(library: Any, kind: str, stack: ExitStack) -> Made:
    """The same client, recorded."""
    from pytest_mcpsmoke.doubles.recording import Recorder

    recorder = stack.enter_context(Recorder())
    make = recorder.async_client if kind == "async" else recorder.client
    client = make(library.__name__, transport=_mock_transport(library), headers=HEADERS)
    return client, recorder.sent.clear


def with_respx(library: Any, kind: str, stack: ExitStack) -> Made:
    """A client whose connections respx answers."""
    import respx

    router = stack.enter_context(respx.mock)
    router.get(URL).respond(json=ANSWER)
    return _client(library, kind)(headers=HEADERS), router.calls.reset


def with_pytest_httpx(library: Any, kind: str, stack: ExitStack) -> Made:
    """A client whose transport pytest-httpx answers: what its fixture does."""
    package = importlib.import_module("pytest_httpx")
    double = package.HTTPXMock(package._HTTPXMockOptions())
    double.add_response(url=URL, json=ANSWER, is_reusable=True)
    sync, asynchronous = double._handle_request, double._handle_async_request
    patch = mock.patch.object
    stack.enter_context(patch(library.HTTPTransport, "handle_request", lambda one, of: sync(one, of)))
    stack.enter_context(
        patch(library.AsyncHTTPTransport, "handle_async_request", lambda one, of: asynchronous(one, of))
    )
    return _client(library, kind)(headers=HEADERS), double._requests.clear


STACKS: Final[dict[str, tuple[Callable[..., Made], str | None]]] = {
    "plain": (plain, None),
    "ours": (ours, None),
    "respx": (with_respx, "respx"),
    "pytest-httpx": (with_pytest_httpx, "pytest-httpx"),
    "plain again": (plain, None),
}


def _client(library: Any, kind: str) -> Any:
    return library.AsyncClient if kind == "async" else library.Client


def _mock_transport(library: Any) -> Any:
    return library.MockTransport(lambda _: library.Response(200, json=ANSWER))


def _nothing() -> None:
    pass


# measuring


@contextmanager
def opened(name: str, library: Any, kind: str) -> Iterator[Callable[[int], float]]:
    """Set a stack up; what is yielded sends so many requests through it, and returns seconds for one."""
    make, _ = STACKS[name]
    with ExitStack() as stack:
        client, drop = make(library, kind, stack)

        def turn(requests: int) -> float:
            gc.collect()
            start = time.process_time()
            if kind == "async":
                asyncio.run(_ask(client, requests))
            else:
                for _ in range(requests):
                    client.get(URL, headers={"X-Env": "B"})
            seconds = (time.process_time() - start) / requests
            drop()
            return seconds

        yield turn


async def _ask(client: Any, requests: int) -> None:
    for _ in range(requests):
        await client.get(URL, headers={"X-Env": "B"})


def measure(
    library: Any, kind: str, names: Sequence[str], requests: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds for one request in each round, by stack; a first round is thrown away."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        at = number % len(names)
        for name in [*names[at:], *names[:at]]:
            with opened(name, library, kind) as turn:  # anew: what one patches is not there in another's turn
                turn(max(1, requests // 20))
                seconds = turn(requests)
            if number:
                found[name].append(seconds)
    return found


def lines_of(title: str, found: dict[str, list[float]]) -> Iterator[str]:
    """Yield the table of one library and mode."""
    yield f"{title:<14}{'us':>9}{'x plain':>9}{'x min':>9}"
    ratios = {name: (_ratio(found, name, median), _ratio(found, name, min)) for name in found}
    for name, seconds in found.items():
        cells = f"{median(seconds) * 1e6:>9.1f}{ratios[name][0]:>9.3f}{ratios[name][1]:>9.3f}"
        yield f"  {name:<12}{cells}{_goal(ratios) if name == 'ours' else ''}"


def _ratio(found: dict[str, list[float]], name: str, of: Callable[[list[float]], float]) -> float:
    return of(found[name]) / of(found["plain"])


def _goal(ratios: dict[str, tuple[float, float]]) -> str:
    """The goals, and whether both ratios meet them."""
    met = {ratio <= GOAL for ratio in ratios["ours"]}
    told = f"   <= {GOAL:.2f} {'unclear' if len(met) == 2 else 'met' if met == {True} else 'missed'}"
    for name, others in ratios.items():
        if STACKS[name][1] is not None:
            ahead = all(ours < other for ours, other in zip(ratios["ours"], others, strict=True))
            told += f", {'ahead of' if ahead else 'behind'} {name}"
    return told


# the command


def _installed(name: str) -> bool:
    needed = STACKS[name][1]
    try:
        return needed is None or bool(version(needed))
    except PackageNotFoundError:
        print(f"left out: {name}: not installed")
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recording",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=200, help="of a stack in a round (default: 200)")
    parser.add_argument("--rounds", type=int, default=60, help="default: 60")
    options = parser.parse_args(arguments)
    names = [name for name in STACKS if _installed(name)]
    shown = ("httpx", "httpx2", "respx", "pytest-httpx")
    versions = [f"{name} {version(name)}" for name in shown if name in ("httpx", "httpx2") or name in names]
    print(f"{platform.python_implementation()} {platform.python_version()}; {', '.join(versions)}")
    for flavour in ("httpx", "httpx2"):
        library = importlib.import_module(flavour)
        of = names if flavour == "httpx" else [name for name in names if STACKS[name][1] is None]
        for kind in ("sync", "async"):
            found = measure(library, kind, of, options.requests, options.rounds)
            for line in lines_of(f"{flavour} {kind}", found):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
