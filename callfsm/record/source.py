"""Values as Python source, and the imports they need: what a spec that we write is made of."""

import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from callfsm.call.clip import Clip


class Source:
    """Writes values, and remembers the imports that they need."""

    def __init__(self) -> None:
        self._modules: dict[str, str] = {}  # where each name is from
        self._lines: set[str] = set()

    def __call__(self, value: Any) -> str:
        """An expression equal to `value`. An array becomes as many zeros."""
        if isinstance(value, Enum):
            return f"{self.name(type(value))}.{value.name}"
        if isinstance(value, np.ndarray):
            self.uses("import numpy as np")
            return f"np.zeros({len(value)}, np.{value.dtype})"
        if isinstance(value, tuple):
            items = [self(each) for each in value]
            return f"({', '.join(items)}{',' * (len(items) == 1)})"
        if is_dataclass(value) and not isinstance(value, type):
            return f"{self.name(type(value))}({', '.join(self._arguments(value))})"
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

    def name(self, kind: type) -> str:
        """The class, as the source calls it."""
        self._modules[kind.__name__] = kind.__module__
        return kind.__name__

    def uses(self, line: str) -> None:
        """One more import line."""
        self._lines.add(line)

    def imports(self) -> str:
        """The import lines of everything written so far."""
        by_module: dict[str, list[str]] = {}
        for name, module in self._modules.items():
            by_module.setdefault(module, []).append(name)
        lines = {f"from {module} import {_listed(names)}" for module, names in by_module.items()}
        return "\n".join(sorted(lines | self._lines, key=lambda line: (line[0] == "f", line)))

    def _arguments(self, value: Any) -> list[str]:
        """The fields that are not at their defaults: the first ones by place, the rest by name."""
        arguments: list[str] = []
        by_place = True
        for field in fields(value):
            content = getattr(value, field.name)
            if field.default is not MISSING and _is_same(content, field.default):
                by_place = False
                continue
            text = self(content)
            arguments.append(text if by_place else f"{field.name}={text}")
        return arguments


def _listed(names: list[str]) -> str:
    text = ", ".join(sorted(names))
    if len(text) < 60:
        return text
    return "\n".join(["(", *(f"    {name}," for name in sorted(names)), ")"])


def _is_same(value: object, default: object) -> bool:
    return not isinstance(value, np.ndarray) and value == default


def compares(value: object) -> bool:
    """Whether `==` decides: no audio is anywhere in it."""
    if isinstance(value, np.ndarray | Clip):
        return False
    if isinstance(value, tuple):
        return all(compares(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return all(compares(getattr(value, field.name)) for field in fields(value))
    return True
