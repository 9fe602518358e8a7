"""Containers and objects of the interpreter and of the standard library that tests write into, by namespace."""

from __future__ import annotations

from typing import Final

AMBIENT: Final[dict[str, tuple[str, ...]]] = {
    "sys": ("path", "path_hooks", "meta_path"),
    "gc": ("callbacks",),
    "copyreg": ("dispatch_table", "_extension_registry"),
    "logging": ("_levelToName", "_nameToLevel"),
    "unittest.mock._patch": ("_active_patches",),
    "time_machine": ("coordinates_stack",),
}
