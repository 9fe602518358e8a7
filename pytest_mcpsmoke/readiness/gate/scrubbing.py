"""Takes the secrets of the environment, and what looks like one, out of all that becomes evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pytest_mcpsmoke.state.describe import is_secret_name, redact, redact_value

HIDDEN: Final = "***"
_SHORTEST: Final = 6  # characters: a log without each "1" or "test" would tell nothing any more

# Shown with their values, as far as these hold no credential; all others only by name.
_HARMLESS: Final = re.compile(
    r"READINESS_\w+|STRICT_READY|ND_REAL|ND_REAL_(MODEL|BASE_URL)|CI|GITHUB_(SHA|REF|RUN_ID|JOB|WORKFLOW)"
    r"|PYTEST_(ADDOPTS|PLUGINS|DISABLE_PLUGIN_AUTOLOAD)|PYTHON(HASHSEED|DEVMODE|WARNINGS|UTF8|OPTIMIZE)"
    r"|LANG|LC_\w+|TZ|TERM|COLUMNS|NO_COLOR|FORCE_COLOR|TOX_ENV_NAME|MCPSMOKE_\w+"
)


class Scrubber:
    """Knows the secrets of one environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        secrets = {secret for name, value in environ.items() for secret in _secrets(name, value)}
        forms = {form for secret in secrets for form in _forms(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def known(self, text: str) -> str:
        """Hide the secrets of the environment; the structure of JSON and XML stays whole."""
        return text if self._known is None else self._known.sub(HIDDEN, text)

    def text(self, text: str) -> str:
        """Hide the secrets of the environment and what looks like a credential."""
        return redact(self.known(text))

    def words(self, words: Iterable[str]) -> tuple[str, ...]:
        """Hide secrets among the words of a command, what follows a telling option too."""
        result: list[str] = []
        is_hidden = False
        for word in words:
            result.append(HIDDEN if is_hidden else redact_value(self.known(word)))
            is_hidden = (
                word.startswith("-")
                and "=" not in word
                and not word.endswith("-env")
                and is_secret_name(word)
            )
        return tuple(result)

    def data(self, content: bytes) -> bytes:
        """Hide the secrets of the environment in a file of any kind."""
        text = content.decode("utf-8", "surrogateescape")
        return self.known(text).encode("utf-8", "surrogateescape")

    def junit(self, content: bytes) -> bytes:
        """Hide the secrets of the environment in a JUnit file, and what looks like one in its texts."""
        content = self.data(content)
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError:
            return content
        for element in root.iter():
            element.text = redact(element.text) if element.text else element.text
            for name, value in element.items():
                element.set(name, redact(value))
        text: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
        return text

    def values(self, value: object) -> object:
        """Hide secrets in all texts of a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: HIDDEN if _hides(key, each) else self.values(each) for key, each in value.items()}
        return [self.values(each) for each in value] if isinstance(value, list) else value


def shown_environment(environ: Mapping[str, str], scrubber: Scrubber) -> dict[str, str]:
    """Return the variables by name, in order; only what is known to be harmless has its value."""
    return {
        name: scrubber.words([value])[0] if _HARMLESS.fullmatch(name) else HIDDEN
        for name, value in sorted(environ.items())
    }


def _hides(key: str, value: object) -> bool:
    """Whether a value goes with a telling name; "tokens": 17 is a count."""
    return isinstance(value, str) and is_secret_name(key)


def _secrets(name: str, value: str) -> Iterator[str]:
    """What of a variable must not be shown anywhere."""
    if len(value) < _SHORTEST or name in ("PWD", "OLDPWD"):  # folders, in spite of their names
        return
    if is_secret_name(name) or redact(value) != value:
        yield value
        yield from re.findall(r"://[^/\s@:]*:([^/\s@]+)@", value)


def _forms(secret: str) -> Sequence[str]:
    """How a text may be written: as it is, and as JSON, XML, Python and URLs have it."""
    forms = (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        escape(secret),
        escape(secret, {'"': "&quot;"}),
        repr(secret)[1:-1],
        quote(secret, safe=""),
    )
    lines = secret.splitlines() if "\n" in secret else ()  # of a key, as a log shows it
    return [*forms, *(line for line in lines if len(line) >= 2 * _SHORTEST)]
