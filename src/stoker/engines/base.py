"""What every engine module offers: how to launch it, and how to speak to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stoker.engines.container_spec import ContainerLaunch
from stoker.planning import Argument, Plan

if TYPE_CHECKING:
    import aiohttp  # commands that only look at the state need no HTTP client

ToolSupport = Literal["native", "emulated", "none"]


@dataclass(frozen=True, slots=True)
class Backend:
    """One OpenAI-compatible endpoint. ``url`` ends before ``/v1`` and has no trailing slash."""

    url: str
    engine: str
    key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request to this backend carries."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as a backend serves it. ``None`` is "the server does not say"."""

    id: str
    max_model_len: int | None = None
    tools: ToolSupport | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    #: Whether the server completes code between two texts with it, on a path of its own or on
    #: ``/v1/completions``.
    fill_in_the_middle: bool | None = None
    #: Whether ``suffix`` on ``/v1/completions`` is read, and not ignored or refused.
    takes_suffix: bool | None = None
    #: Whether it answers chats: an embedding model does not.
    chat: bool | None = None
    #: Requests that it works on at the same time; more wait inside of the server.
    parallel: int | None = None
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessLaunch:
    """A child process to start. ``stdin`` carries what must not show in a process list.

    The supervisor keeps the child's standard input open for as long as it lives, so that a
    child may take its end as the sign to stop.
    """

    argv: tuple[str, ...]
    #: What the engine is told, with the reason for each.
    arguments: tuple[Argument, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = field(default="", repr=False)

    @property
    def parts(self) -> tuple[Argument, ...]:
        """Everything that has a reason."""
        return self.arguments


@dataclass(frozen=True, slots=True)
class Options:
    """How to run an engine that can be run in more than one way. llama.cpp has only one."""

    #: Run it as a process of this Python; in a container where there is none.
    python: str | None = None
    #: Another container image than the one that the engine is pinned to.
    image: str | None = None
    #: The container's name.
    name: str | None = None
    #: The container runtime's socket, as ``unix:///var/run/docker.sock``.
    endpoint: str | None = None
    #: There are NVIDIA GPUs to use.
    gpus: bool = False
    #: Keep the container's IPC namespace apart from the host's.
    private_ipc: bool = False
    #: Where a server runs already that is only to be spoken to, and the key for it.
    adopted: str | None = None
    key: str | None = field(default=None, repr=False)
    #: More folders for the container, as ``HOST:CONTAINER`` or ``HOST:CONTAINER:ro``.
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognised:
    """A server that runs already."""

    backend: Backend
    version: str | None
    models: tuple[ServedModel, ...]
    #: What will bite, each with what to do about it.
    warnings: tuple[str, ...]
    #: The kinds of server behind it, where it is a gateway that says so.
    behind: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it is, for people: ``stoker 0.1.0 in front of vllm``."""
        version = f" {self.version}" if self.version else ""
        behind = f" in front of {' and '.join(self.behind)}" if self.behind else ""
        return f"{self.backend.engine}{version}{behind}"


class Launcher(Protocol):
    """The half of an engine that turns a plan into something to run."""

    name: str

    def launch(
        self, plan: Plan, *, port: int, key: str, options: Options
    ) -> ProcessLaunch | ContainerLaunch:
        """What to run so that the plan's model answers on the loopback ``port`` under ``key``."""
        ...

    def phase(self, line: str) -> str | None:
        """The phase that this line of the engine's log begins, or ``None``."""
        ...


class ServerClient(Protocol):
    """The half of an engine that asks a running server about itself."""

    name: str
    #: The path that tells the server's version, where it has one.
    VERSION_AT: str | None

    async def is_it(self, http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
        """Whether the server is of this kind. ``listing`` is its ``/v1/models``.

        May raise what a server of another kind makes it raise.
        """
        ...

    async def warnings(
        self, http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
    ) -> list[str]:
        """What of this server will surprise an editor, each with what to do about it."""
        ...

    async def ready(self, http: aiohttp.ClientSession, backend: Backend) -> bool:
        """Whether the server can answer a chat now. Never raises for a server that is down."""
        ...

    async def discover(
        self, http: aiohttp.ClientSession, backend: Backend
    ) -> Sequence[ServedModel]:
        """The models it serves. Raises ``aiohttp.ClientError`` when it can't be asked."""
        ...

    async def count(
        self, http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]
    ) -> int:
        """How many prompt tokens this chat request is, template and tools included.

        Raises ``NotImplementedError`` where the server can't say.
        """
        ...

    async def count_texts(
        self, http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
    ) -> Sequence[int]:
        """How many tokens each text is by itself, with no template and nothing added.

        Raises ``NotImplementedError`` where the server can't say.
        """
        ...

    def adapt(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The chat request in the form that this server takes, where it differs from OpenAI's."""
        ...


class Engine(Launcher, ServerClient, Protocol):
    """A kind of inference server."""
