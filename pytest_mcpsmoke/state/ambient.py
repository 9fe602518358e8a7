"""Containers of the interpreter and the standard library that tests write into, by namespace."""

from __future__ import annotations

from typing import Final

AMBIENT: Final[dict[str, tuple[str, ...]]] = {
    "sys": ("path", "path_hooks", "meta_path", "argv", "warnoptions"),
    "copyreg": ("dispatch_table", "_extension_registry"),
    "logging": ("_levelToName", "_nameToLevel"),
    "gc": ("callbacks",),
    "calendar": ("c",),
    "email.charset": ("CHARSETS", "ALIASES", "CODEC_MAP"),
    "json": ("_default_encoder", "_default_decoder"),
    "shutil": ("_ARCHIVE_FORMATS", "_UNPACK_FORMATS"),
    "warnings": ("filters",),
    "webbrowser": ("_browsers", "_tryorder"),
    "xml.etree.ElementTree": ("_namespace_map",),
    "time_machine": ("coordinates_stack",),
}
