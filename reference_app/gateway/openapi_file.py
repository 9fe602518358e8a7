"""Reads the file of an OpenAPI document: JSON or YAML, and where the API is that it describes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reference_app import config_kinds as kinds


def read_root(path: str | Path) -> dict[str, Any]:
    """Returns the OpenAPI 3.0 or 3.1 document, as JSON would hold it.

    Raises:
        ValueError: The file cannot be read, or is no such document.
        RecursionError: It is nested too deeply.
    """
    root = _parsed(_text(path))
    if isinstance(root, dict) and "swagger" in root:
        raise ValueError("is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1")
    if not isinstance(root, dict) or not str(root.get("openapi")).startswith(("3.0.", "3.1.")):
        raise ValueError("is no OpenAPI 3.0 or 3.1 document; it begins with `openapi: 3.1.0`")
    return root


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"cannot be read: {why}; name a file that can") from None


def _parsed(text: str) -> Any:
    data = _from_json(text) if text.lstrip().startswith("{") else _from_yaml(text)
    try:
        # Names that look like numbers to YAML become text again, and what JSON does not have is refused.
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        text.encode()
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"has a value that JSON does not have: {error}; put it in quotes") from None


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}; mend it there") from None


def _from_yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ValueError(
            "is not JSON, and YAML needs yaml, which is not installed: pip install pyyaml"
        ) from None

    class Loader(yaml.SafeLoader):
        """Reads dates, and words such as `yes` and `on`, as the text that they are for JSON."""

    unwanted = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")
    Loader.yaml_implicit_resolvers = {
        first: [each for each in resolvers if each[0] not in unwanted]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(unwanted[1], re.compile("(?:true|false)$", re.IGNORECASE), list("tTfF"))
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it has a character that YAML does not allow"
        raise ValueError(f"is not valid YAML{where}: {why}; mend it there") from None


def described_url(root: dict[str, Any]) -> str:
    """Returns the first server's URL, with the defaults of its variables.

    Raises:
        ValueError: There is none, or none that can be used.
    """
    servers = root.get("servers")
    if not isinstance(servers, list) or not servers or not isinstance(servers[0], dict):
        raise ValueError("names no server; configure `url`, or write one under servers")
    variables = servers[0].get("variables")
    url = str(servers[0].get("url"))
    for name, variable in (variables if isinstance(variables, dict) else {}).items():
        url = url.replace(
            f"{{{name}}}", str(variable.get("default", "") if isinstance(variable, dict) else "")
        )
    return usable_url("the first of its servers", url)


def usable_url(what: str, url: str) -> str:
    """Returns the URL without a slash at the end; raises ValueError when no path can be put behind it."""
    # The URL is not repeated: it may hold a password.
    try:
        parts = urlsplit(kinds.http_url(url))
    except kinds.Fault:
        raise ValueError(f"{what} has no absolute http or https URL; configure `url`") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{what} has credentials in its URL; send them in a header, with static_headers_env")
    if not set("?#{}").isdisjoint(url):
        raise ValueError(
            f"{what} has a query, a fragment or an open variable in its URL; configure `url` without"
        )
    return url.strip().rstrip("/")
