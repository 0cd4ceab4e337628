"""The paths that exist. What is not in the table is answered by nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from aiohttp import web

from stoker.gateway.api import path_hints
from stoker.gateway.api.error_mapping import NoSuchPathError
from stoker.gateway.request_context import Handler


class Route(NamedTuple):
    """One path, or with ``/{name}`` at its end all paths below it, and what answers it."""

    method: str
    path: str
    handler: Handler


class Routes:
    """The table of one gateway."""

    def __init__(self) -> None:
        self._of_path: dict[str, dict[str, Route]] = {}
        #: Beginnings of paths, each with its row in the table.
        self._beginnings: dict[str, str] = {}

    def __iter__(self) -> Iterator[Route]:
        return (route for of_method in self._of_path.values() for route in of_method.values())

    def add(self, methods: Collection[str], path: str, handler: Handler) -> None:
        """Answer a path."""
        of_method = self._of_path.setdefault(path, {})
        of_method.update({method: Route(method, path, handler) for method in methods})
        if path.endswith("}"):
            self._beginnings[path[: path.rindex("{")]] = path

    def of(self, request: web.BaseRequest) -> Route:
        """The route of a request. Raises ``NoSuchPathError``.

        A slash that is written as ``%2F`` separates nothing.
        """
        path = request.rel_url.path_safe
        of_method = self._of_path.get(path) or self._of_path.get(self._row_of(path))
        if of_method is None:
            hint = path_hints.hint(request.path, self._of_path.keys())
            raise NoSuchPathError(404, hint or "docs/reference/http-api.md lists the paths.")
        route = of_method.get(request.method)
        if route is None:
            methods = sorted(of_method)
            raise NoSuchPathError(405, f"Send it with {' or '.join(methods)}.", methods)
        return route

    def _row_of(self, path: str) -> str:
        beginnings = self._beginnings.items()
        return next(
            (row for start, row in beginnings if start != path and path.startswith(start)), ""
        )
