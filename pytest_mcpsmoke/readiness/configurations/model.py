"""What a configuration says: servers to talk to, and problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from pytest_mcpsmoke.state.describe import is_secret_name

HIDDEN: Final = "***"


def is_telling(name: str) -> bool:
    """Whether the name of a variable or option suggests that its value must not be shown."""
    return is_secret_name(name) or re.search(r"(?i)(^|_)key$", name) is not None


class Problem(NamedTuple):
    """What is wrong in a file. Its texts hold no secrets.

    Attributes:
        file: As it was named.
        line: From 1 on.
        key: As one reads it: `mcpServers.litellm.url`; empty where the problem is not about one.
        text: What is wrong.
        remedy: What to do.
    """

    file: str
    line: int
    key: str
    text: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: {self.key}: " if self.key else f"{self.file}:{self.line}: "
        return f"{where}{self.text}; {self.remedy}"


class Server(NamedTuple):
    """A configured server, as its client would talk to it: references filled in, secrets and all.

    Attributes:
        client: The client's name, as `--as` takes it.
        name: The server's name in the configuration.
        file: The file's name.
        line: Where the server is configured.
        transport: "http", "sse", "stdio", "openapi" or "openai"; "" where the entry does not tell.
        url: For all but stdio.
        headers: That the client sends.
        command: Of stdio, with args, env (the whole environment of the process) and cwd.
        not_tried: Why there is nothing to try, "" where there is: a broken entry, a question to the user.
        is_disabled: Whether the configuration switches it off.
        falls_back: Whether the client tries SSE where streamable HTTP is not spoken.
        secrets: Values that must not be shown.
    """

    client: str
    name: str
    file: str
    line: int
    transport: str = ""
    url: str = ""
    headers: Mapping[str, str] = {}
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    cwd: str | None = None
    not_tried: str = ""
    is_disabled: bool = False
    falls_back: bool = False
    secrets: tuple[str, ...] = ()

    def hide(self, text: str) -> str:
        """Return a text without this server's secrets."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


class Configuration(NamedTuple):
    """What one file says."""

    file: str
    client: str
    servers: tuple[Server, ...]
    problems: tuple[Problem, ...]
