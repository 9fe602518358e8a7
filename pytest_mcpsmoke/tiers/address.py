"""Base URLs of models: what makes a usable one, and how it is shown."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pytest_mcpsmoke.errors import UsageProblem


def usable(text: str, where: str) -> str:
    """Return a base URL without spaces around it and slashes at its end.

    text: as "https://models.example/v1".
    where: what was set to it, for the message: "ND_REAL_BASE_URL".
    Raises UsageProblem, which shows the URL without credentials, when no request could be sent there.
    """
    url = text.strip().rstrip("/")
    why = _flaw(url)
    if why:
        raise UsageProblem(f"{where}={shown(text.strip())}: {why}")
    return url


def shown(url: str) -> str:
    """Return a URL as it may be printed: without user, password and query."""
    bare, mark, _ = re.sub(r"^([\w+.-]+://)?.*@", r"\1…@", url, flags=re.DOTALL).partition("?")
    return f"{bare}?…" if mark else bare


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine, which no proxy does."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _flaw(url: str) -> str:
    """What is wrong with a base URL, and the remedy; "" when nothing is."""
    example = "write it as http://127.0.0.1:11434/v1"
    if not url:
        return f"no URL; {example}"
    if re.search(r"[^!-~]", url):
        return f"a character that no URL holds; {example}"
    if "@" in url:
        return "a URL is printed, so it holds no credentials; set ND_REAL_API_KEY to the key"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        reason = "the port is no number from 1 to 65535" if "ort" in str(error) else "no URL"
        return f"{reason}; {example}"
    if parts.scheme not in ("http", "https"):
        return f"http:// or https:// is missing; {example}"
    if not parts.hostname or port == 0:
        return f"no host to connect to; {example}"
    if parts.query or parts.fragment:
        return f"paths are added to it, so it has neither query nor fragment; {example}"
    return ""
