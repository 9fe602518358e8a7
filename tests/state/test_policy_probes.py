"""Each rule about what probes read: a situation that it exempts, and the nearest one that it does not."""

from __future__ import annotations

import gc
import os
import textwrap

import pytest
from stage import Stage
from test_policy import Situation
from test_policy_objects import rules_found

from pytest_mcpsmoke.state.globs import matches
from pytest_mcpsmoke.state.policy import PROBE_RULES
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.descriptors import Descriptors
from pytest_mcpsmoke.state.probes.farewells import ExitFunctions
from pytest_mcpsmoke.state.probes.process import Environ, WorkingDirectory
from pytest_mcpsmoke.state.probes.signals import SignalHandlers
from pytest_mcpsmoke.state.probes.threads import Threads

PROGRAM = {
    "shop/__init__.py": "",
    "shop/boot.py": """
        import os

        os.environ["SHOP_BOOTED"] = "1"

        def install():
            os.environ["SHOP_INSTALLED"] = "1"
        """,
    "shop/plugin.py": """
        import signal

        def handler(signum, frame):
            pass

        def arm():
            signal.signal(signal.SIGUSR2, handler)

        def disarm():
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        """,
    "shop/boot_signals.py": """
        import signal

        def handler(signum, frame):
            pass

        def install():
            signal.signal(signal.SIGUSR2, handler)
        """,
    "shop/server.py": """
        import socket
        import threading

        LISTENER = socket.create_server(("127.0.0.1", 0))
        ACCEPTED = []
        DONE = threading.Event()

        def serve():
            try:
                while True:
                    ACCEPTED.append(LISTENER.accept()[0])
                    DONE.set()
            except OSError:
                pass

        THREAD = threading.Thread(target=serve, daemon=True)

        def close():
            for accepted in ACCEPTED:
                accepted.close()
            LISTENER.shutdown(socket.SHUT_RDWR)
            LISTENER.close()
        """,
    "shop/farewell.py": """
        import atexit
        import pluggy

        def first():
            atexit.register(pluggy._hooks.varnames)

        def own():
            atexit.register(say)

        def say():
            pass
        """,
    "shop/pool.py": """
        import sys
        import time
        from concurrent.futures import ThreadPoolExecutor
        from concurrent.futures.thread import _worker

        POOL = ThreadPoolExecutor(1, "shop")

        def warm():
            POOL.submit(int).result()
            while not is_idle(*POOL._threads):  # on a busy machine it takes it a while to come back
                time.sleep(0.001)

        def is_idle(worker):
            code = sys._current_frames()[worker.ident].f_code
            return POOL._idle_semaphore._value == 1 and code is _worker.__code__
        """,
}

# Descriptors of fixed numbers, so that places have fixed names.
OPEN = """
    import os

    def turn(number, path):
        opened = os.open(path, os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)

    def close(number):
        try:
            os.close(number)
        except OSError:
            pass

    """


def with_open(text: str) -> str:
    return textwrap.dedent(OPEN) + textwrap.dedent(text)


STANDARD = with_open(
    """
    before = os.dup(0)

    def test():
        turn(0, __file__)

    def undo():
        os.dup2(before, 0)
        os.close(before)
    """
)
ELSEWHERE = with_open("def test():\n    turn(77, os.devnull)\n\ndef undo():\n    close(77)\n")
CLOSED = with_open("turn(77, os.devnull)\n\ndef test():\n    close(77)\n")

SITUATIONS = [
    Situation(
        "captured descriptor",
        "file descriptor 0 (standard input)",
        STANDARD,
        ELSEWHERE,
        f"file descriptor 77 ({os.devnull})",
    ),
    Situation(
        "accepted",
        "file descriptor * (socket)",
        """
        import socket
        from shop import server

        server.THREAD.start()

        def test():
            with socket.create_connection(server.LISTENER.getsockname()):
                server.DONE.wait(10)

        def undo():
            server.close()
            server.THREAD.join(10)
        """,
        """
        import socket
        from shop import server

        def test():
            with socket.create_connection(server.LISTENER.getsockname()):
                server.ACCEPTED.append(server.LISTENER.accept()[0])

        def undo():
            server.close()
        """,
    ),
    Situation(
        "dropped",
        f"file descriptor * ({os.devnull})",
        """
        import os
        item = type("Item", (), {"__module__": "_pytest.python"})()

        def test():
            item.funcargs = {"db": open(os.devnull)}

        def undo():
            item.funcargs["db"].close()
        """,
        """
        import os
        item = type("Item", (), {"__module__": "_pytest.python"})()
        kept = []

        def test():
            item.funcargs = {"db": open(os.devnull)}
            kept.append(item.funcargs["db"])

        def undo():
            kept[0].close()
        """,
    ),
    Situation(
        "farewell",
        "atexit.register(pluggy._decorators.varnames)",
        """
        from shop import farewell

        def test():
            farewell.first()

        def undo():
            farewell.atexit.unregister(farewell.pluggy._hooks.varnames)
        """,
        """
        from shop import farewell

        def test():
            farewell.own()

        def undo():
            farewell.atexit.unregister(farewell.say)
        """,
        "atexit.register(shop.farewell.say)",
    ),
    Situation("ended", f"file descriptor 77 ({os.devnull})", CLOSED, ELSEWHERE),
    Situation(
        "pytest",
        "signal.SIGUSR2",
        """
        from shop import plugin
        plugin.arm()

        def test():
            plugin.disarm()
        """,
        """
        from shop import boot_signals, plugin
        plugin.arm()

        def test():
            boot_signals.install()

        def undo():
            plugin.disarm()
        """,
    ),
    Situation(
        "put back",
        "os.getcwd()",
        """
        import os
        before = os.getcwd()

        def earlier():
            os.chdir("/")

        def test():
            os.chdir(before)
        """,
        """
        import os
        before = os.getcwd()

        def earlier():
            os.chdir("/")

        def test():
            os.chdir("/tmp")

        def undo():
            os.chdir(before)
        """,
    ),
    Situation(
        "import",
        "os.environ['SHOP_BOOTED']",
        """
        import os

        def test():
            from shop import boot

        def undo():
            del os.environ["SHOP_BOOTED"]
        """,
        """
        import os
        from shop import boot
        os.environ.pop("SHOP_BOOTED")

        def test():
            boot.install()

        def undo():
            del os.environ["SHOP_INSTALLED"]
        """,
        "os.environ['SHOP_INSTALLED']",
    ),
    Situation(
        "collection",
        "os.environ['SHOP_INSTALLED']",
        """
        import os
        from shop import boot
        os.environ.pop("SHOP_BOOTED")

        def undo():
            del os.environ["SHOP_INSTALLED"]
        """,
        """
        import os

        def undo():
            del os.environ["CHECKS"]
        """,
        "os.environ['CHECKS']",
        files={
            "checks_other/__init__.py": "",
            "checks_other/exempt.py": "from shop import boot\n\nboot.install()\n",
            "checks_other/nearest.py": "import os\n\nos.environ['CHECKS'] = '1'\n",
        },
        owner="module",
        nearest_owner="module",
    ),
    Situation(
        "set-up",
        "thread 'shop_0'",
        """
        from shop import pool

        def test():
            pool.warm()

        def undo():
            pool.POOL.shutdown()
        """,
        """
        import threading
        over = threading.Event()

        def test():
            threading.Thread(target=over.wait, name="shop_0").start()

        def undo():
            over.set()
        """,
    ),
]


@pytest.fixture(autouse=True)
def collected(frozen: None) -> None:
    """What earlier tests left to the collector closes its descriptors now, and not in the middle."""
    gc.collect()


def probes(stage: Stage) -> list[Probe]:
    """The probes that the situations are about; the modules' own files do not count."""
    files = [Environ(), WorkingDirectory(), Descriptors(lambda path: False)]
    return [*files, Threads(), SignalHandlers(), ExitFunctions()]


def at(found: dict[str, str], glob: str) -> str | None:
    """What was found at the place that a glob matches."""
    return next((rule for place, rule in found.items() if matches(place, glob)), None)


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_rule_exempts_what_it_is_for(case: Situation, engine: str, stage: Stage) -> None:
    program = PROGRAM | case.files
    found = rules_found(stage, engine, case.exempt, program, case.owner, "checks_other.exempt", probes(stage))
    assert at(found, case.place) == case.rule


@pytest.mark.parametrize("case", SITUATIONS, ids=lambda case: case.rule)
def test_the_nearest_situation_is_a_leak(case: Situation, engine: str, stage: Stage) -> None:
    program = PROGRAM | case.files
    found = rules_found(
        stage, engine, case.nearest, program, case.nearest_owner, "checks_other.nearest", probes(stage)
    )
    assert at(found, case.nearest_place or case.place) == "leak"


def test_every_rule_has_its_situation() -> None:
    assert [case.rule for case in SITUATIONS] == [rule.name for rule in PROBE_RULES]
