"""The suite that is measured: trivial tests over as many loaded modules as asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILES: Final = 20  # test files
PACKAGE: Final = 5  # modules in a generated package
EMPTY_PLUGIN: Final = "plugin_without_hooks"  # a module of the library

# Loaded by the suite's conftest.py, with all that they import in turn.
STANDARD_LIBRARY: Final = """
    argparse ast asyncio base64 bdb bisect bz2 calendar cmd code codecs collections colorsys compileall
    concurrent.futures configparser contextlib copy csv ctypes dataclasses datetime decimal difflib dis
    doctest email.mime.multipart email.mime.text email.policy enum filecmp fileinput fnmatch fractions
    ftplib functools gettext glob graphlib gzip hashlib heapq hmac html.parser http.client http.cookiejar
    http.cookies http.server importlib.metadata importlib.resources inspect ipaddress itertools json
    logging.config logging.handlers lzma mailbox mimetypes multiprocessing.managers multiprocessing.pool
    netrc numbers optparse pathlib pdb pickle pickletools pkgutil platform plistlib poplib pprint profile
    pstats py_compile pyclbr queue quopri random re runpy sched secrets selectors shelve shlex shutil
    smtplib socket socketserver sqlite3 ssl statistics string stringprep subprocess symtable sysconfig
    tabnanny tarfile tempfile textwrap threading timeit tokenize tomllib trace traceback tracemalloc
    typing unicodedata unittest.async_case unittest.mock urllib.request urllib.robotparser uuid venv wave
    weakref webbrowser wsgiref.simple_server wsgiref.validate xml.dom.minidom xml.etree.ElementTree
    xml.sax.handler xmlrpc.client xmlrpc.server zipapp zipfile zipimport zoneinfo
"""

# Says where the time went, in the plain runs too: process start to loop, and the loop over the tests.
# With BENCH_CENSUS set it counts instead what is loaded, in a run that is not measured.
_CONFTEST: Final = """\
import contextlib
import gc
import importlib
import json
import os
import sys
import time

import pytest

for name in {names!r}:
    with contextlib.suppress(ImportError):  # not on this platform, or not in this Python any more
        importlib.import_module(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session):
    full = []  # when full collections began and ended; a global would be state that tests change

    def note(phase, info):
        if info["generation"] == 2:
            full.append(time.process_time())

    if os.environ.get("BENCH_CENSUS"):
        modules = [module for module in list(sys.modules.values()) if isinstance(module, type(sys))]
        values = [value for module in modules for value in list(vars(module).values())]
        classes = {{id(value) for value in values if isinstance(value, type)}}
        facts = {{"tests": session.testscollected, "modules": len(modules), "classes": len(classes)}}
    else:
        gc.callbacks.append(note)
        start = time.process_time()
    result = yield
    if not os.environ.get("BENCH_CENSUS"):
        loop = time.process_time() - start
        gc.callbacks.remove(note)
        facts = {{"start_cpu": start, "loop_cpu": loop, "full_gc_cpu": sum(full[1::2]) - sum(full[::2])}}
    with open(os.environ["BENCH_FACTS"], "w", encoding="utf-8") as file:
        json.dump(facts, file)
    return result
"""

_FIXTURES: Final = """\
import pytest


@pytest.fixture
def first():
    return 1


@pytest.fixture
def second():
    yield 2
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a suite is made of. A part of the generated modules are the program, the rest a library."""

    tests: int
    generated: int  # modules
    fixtures: bool = False  # two function-scoped fixtures a test
    program: float = 0.25  # of the modules
    heavy: int = 0  # modules more of the program, full of classes, instances and containers


def build(root: Path, shape: Shape) -> tuple[Path, Path]:
    """Write a suite into an empty folder; return the suite's folder and the one to put on sys.path.

    The library lies outside the rootdir, as installed packages do, and is imported by conftest.py; the
    program lies inside it and is imported by the test files.
    """
    suite, library = root / "suite", root / "library"
    suite.mkdir(parents=True)
    program = int(shape.generated * shape.program)
    packages = _write_packages(library, "installed", shape.generated - program)
    parts = _write_packages(suite, "program", program)
    parts += _write_heavy(suite, shape.heavy)
    (library / f"{EMPTY_PLUGIN}.py").write_text("", encoding="utf-8")
    (suite / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    conftest = _CONFTEST.format(names=(*STANDARD_LIBRARY.split(), *packages))
    (suite / "conftest.py").write_text(conftest, encoding="utf-8")
    for number in range(FILES):
        text = _test_file(number, shape, parts[number::FILES])
        (suite / f"test_part_{number:02}.py").write_text(text, encoding="utf-8")
    return suite, library


def _write_packages(folder: Path, prefix: str, count: int) -> list[str]:
    """Write so many modules, in packages that import their modules; return the packages' names."""
    names = []
    for first in range(0, count, PACKAGE):
        package = folder / f"{prefix}_{first // PACKAGE:03}"
        package.mkdir(parents=True)
        modules = range(min(PACKAGE, count - first) - 1)  # the package itself is one, too
        imports = "".join(f"from {package.name} import module_{number}\n" for number in modules)
        (package / "__init__.py").write_text(imports, encoding="utf-8")
        for number in modules:
            (package / f"module_{number}.py").write_text(_module(number), encoding="utf-8")
        names.append(package.name)
    return names


def _module(number: int) -> str:
    """The source of a module: 20 constants, 10 functions, 4 classes with 6 attributes."""
    lines = ["import os", "import sys", "from collections import OrderedDict", ""]
    lines += [f"CONSTANT_{at} = {number * at!r}" for at in range(15)]
    lines += [f"TABLE_{at} = {{'key': {at}, 'other': [{number}]}}" for at in range(5)]
    for at in range(10):
        lines += ["", f"def function_{at}(value, other={at}):", f"    return value + other + CONSTANT_{at}"]
    for at in range(4):
        lines += ["", f"class Class{at}:", "    limit = 10", "    names = ('a', 'b')", "    default = None"]
        for method in ("read", "write", "close"):
            lines += [f"    def {method}(self, value={at}):", "        return self.limit + value"]
    return "\n".join(lines) + "\n"


def _write_heavy(folder: Path, count: int) -> list[str]:
    """Write so many heavy modules; return their names."""
    names = [f"heavy_{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        (folder / f"{name}.py").write_text(_heavy_module(number), encoding="utf-8")
    return names


def _heavy_module(number: int) -> str:
    """The source of a module with 100 classes, 50 instances and 17 containers of 200 elements in all."""
    lines = []
    for at in range(100):
        lines += [f"class Class{at}:", f"    limit = {at}", "    names = ('a', 'b')"]
        lines += [
            "    def __init__(self, name):",
            "        self.name = name",
            "        self.size = self.limit",
        ]
        lines += ["    def read(self, value=1):", "        return self.limit + value", ""]
    lines += [f"instance_{at} = Class{at}('{number}')" for at in range(50)]
    lines += [f"LIST_{at} = {[*range(10)]!r}" for at in range(10)]
    lines += [f"TABLE_{at} = { ({f'key {key}': key for key in range(16)})!r}" for at in range(5)]
    lines += [f"SET_{at} = {set(range(10))!r}" for at in range(2)]
    return "\n".join(lines) + "\n"


def _test_file(number: int, shape: Shape, packages: list[str]) -> str:
    """The source of one test file; the tests are dealt out evenly."""
    count = len(range(number, shape.tests, FILES))
    arguments = "first, second" if shape.fixtures else ""
    imports = "".join(f"import {name}\n" for name in packages)
    tests = "".join(
        f"\n\ndef test_{at}({arguments}):\n    value = {at}\n    assert value == {at}\n"
        for at in range(count)
    )
    return (_FIXTURES if shape.fixtures else "") + imports + tests
