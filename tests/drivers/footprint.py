"""How much memory an object and everything that only it leads to takes, roughly."""

import gc
import re
import sys
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType

from pydantic import BaseModel

__all__ = ["footprint"]

SHARED = (type, ModuleType, BuiltinFunctionType, BaseModel, Enum, re.Pattern)
"""What belongs to the program or its configuration, not to one object."""


def footprint(root: object) -> int:
    """Return the bytes of all objects that can be reached, each counted once."""
    seen: set[int] = set()
    total = 0
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, SHARED):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if isinstance(each, FunctionType):
            waiting += each.__closure__ or ()
        elif gc.is_tracked(each):
            waiting += gc.get_referents(each)
    return total
