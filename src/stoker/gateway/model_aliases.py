"""Names that the owner lets clients use for a model, beside the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase


class ModelAliases:
    """Names, or patterns of names with ``*``, each with the name of a model or ``local``."""

    def __init__(self, targets: Mapping[str, str] | None = None) -> None:
        self._targets = dict(targets or {})

    def resolve(self, name: object) -> object:
        """The model that ``name`` stands for; ``name`` itself where no alias has it.

        A name goes before all patterns, and of those the first one decides.
        """
        if not isinstance(name, str) or not name:
            return name
        if name in self._targets:
            return self._targets[name]
        patterns = (pattern for pattern in self._targets if fnmatchcase(name, pattern))
        return self._targets.get(next(patterns, name), name)
