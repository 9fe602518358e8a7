"""What a class knows of other objects: registered and derived classes, patches that were started."""

from __future__ import annotations

import abc
import sys
from typing import Any, Final

from pytest_mcpsmoke.state.place import Contents
from pytest_mcpsmoke.state.readers import PartsReader, listing


def _registered(cls: Any) -> dict[str, Any]:
    """The classes registered with an abstract base class; those that died are nobody's change."""
    registry = sys.modules["_abc"]._get_dump(cls)[0]
    return {" registry": Contents("set", tuple(found for ref in registry if (found := ref()) is not None))}


def _put_registered(cls: Any, label: str, before: Contents) -> None:
    _abc = sys.modules["_abc"]
    _abc._reset_registry(cls)
    _abc._reset_caches(cls)
    for registered in before.values:
        _abc._abc_register(cls, registered)


def _subclasses(cls: Any) -> dict[str, Any]:
    return {"()": Contents("set", tuple(type.__subclasses__(cls)))}


STARTED: Final = " patches started"


def _patches(cls: Any) -> dict[str, Any]:
    return {STARTED: listing(cls._active_patches)}


def _stop_patches(cls: Any, label: str, before: Contents) -> None:
    """Stop the patches that were started since; one that was stopped has let go of what it needs to start."""
    for patch in reversed(cls._active_patches):
        if not any(patch is kept for kept in before.values):
            patch.stop()


PATCHES: Final = PartsReader(
    _patches, _stop_patches, is_entered=False, sources=lambda cls: [cls._active_patches]
)
# the token moves with each registration, of whatever class
ABC_REGISTRY: Final = PartsReader(_registered, _put_registered, is_entered=False, guard=abc.get_cache_token)
SUBCLASSES: Final = PartsReader(_subclasses, is_entered=False)
