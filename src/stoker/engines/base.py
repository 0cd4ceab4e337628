"""What an engine is to the rest of Stoker: ``Engine``, and the values that pass in and out of it.

An engine's module, which ``registry.ENGINES`` names, has one value, ``ENGINE``. All that Stoker
decides by the kind of server is a field of it, so that no code outside that module names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stoker.engines.container_spec import SHM_BYTES, ContainerLaunch
from stoker.errors import StokerError
from stoker.host import GpuSpec, Host
from stoker.models import Format
from stoker.planning import Argument, Candidate, Plan, Requirements, Speed, Traffic, Trial
from stoker.planning.draft_use import DraftCost

if TYPE_CHECKING:
    import aiohttp  # commands that only look at the state need no HTTP client

    from stoker.sizing import Replica  # only what sizes a fleet simulates one

#: How a model calls tools. ``emulated``: the gateway writes the tools into the prompt, and finds
#: the calls in the answer's text.
ToolSupport = Literal["native", "emulated", "none"]


@dataclass(frozen=True, slots=True)
class Backend:
    """One OpenAI-compatible endpoint. ``url`` ends before ``/v1`` and has no trailing slash."""

    url: str
    engine: str
    key: str | None = field(default=None, repr=False)
    #: The environment variable that the key is from, for messages about it.
    key_env: str | None = field(default=None, compare=False)

    @property
    def refused_key(self) -> str:
        """What a 401 of this backend means, as the end of a sentence."""
        if not self.key:
            return "it requires a key, and none is set for it"
        return f"it refuses the key{f' in {self.key_env}' if self.key_env else ''}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request to this backend carries."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as a backend serves it. ``None`` where the server does not report it."""

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
    #: Requests that it works on at the same time; more wait inside the server.
    parallel: int | None = None
    quantization: str | None = None

    @property
    def may_chat(self) -> bool:
        """Whether it answers chats, as far as is known."""
        return self.chat is not False


@dataclass(frozen=True, slots=True)
class ProcessLaunch:
    """A child process to start. ``stdin`` carries what must not show in a process list.

    The supervisor keeps the child's standard input open for as long as it lives, so that a child
    may stop when it ends.
    """

    argv: tuple[str, ...]
    #: The engine's arguments, with the reason for each.
    arguments: tuple[Argument, ...] = ()
    #: Holds the key where the engine takes it from its environment.
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: str = field(default="", repr=False)
    #: It may be stopped in its tracks for a while: it ends with its parent even then.
    pausable: bool = False

    @property
    def parts(self) -> tuple[Argument, ...]:
        """Everything that has a reason."""
        return self.arguments


@dataclass(frozen=True, slots=True)
class Options:
    """How to run an engine that can be run in more than one way."""

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
    #: What containers are given of GPUs that are not NVIDIA's: devices, folders of such, and the
    #: numbers of the groups that own them.
    devices: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    #: Keep the container's IPC namespace apart from the host's.
    private_ipc: bool = False
    #: Containers may be put in a network without a way out, where only this machine reaches them.
    offline_network: bool = False
    #: The address of a server that is already running and is not to be started, and the key for it.
    adopted: str | None = None
    key: str | None = field(default=None, repr=False)
    #: The environment variable that the key is from: no file holds the key itself.
    key_env: str | None = field(default=None, compare=False)
    #: More folders for the container, as ``HOST:CONTAINER`` or ``HOST:CONTAINER:ro``.
    volumes: tuple[str, ...] = ()
    #: The folder in which the engine is to keep what it has read (``SlotFiles``).
    slot_folder: str | None = None
    #: It shares its cores with an engine that goes first, and may be paused for that.
    stands_back: bool = False


@dataclass(frozen=True, slots=True)
class Recognised:
    """A server that is already running."""

    backend: Backend
    version: str | None
    models: tuple[ServedModel, ...]
    #: What will cause trouble, each with what to do about it.
    warnings: tuple[str, ...]
    #: The kinds of server behind it, where it is a gateway that reports them.
    behind: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Its kind and version: ``stoker 0.1.0 in front of vllm``."""
        version = f" {self.version}" if self.version else ""
        behind = f" in front of {' and '.join(self.behind)}" if self.behind else ""
        return f"{self.backend.engine}{version}{behind}"


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """Where the user wants an engine to run. Engines that run in one way only ignore most of it."""

    #: As a process of this Python.
    python: str | None = None
    #: As a process of an environment that Stoker makes.
    native: bool = False
    #: The container's image, name, and more folders for it, as ``HOST:CONTAINER[:ro]``.
    image: str | None = None
    name: str | None = None
    volumes: tuple[str, ...] = ()
    #: Keep the container's IPC namespace apart from the host's.
    private_ipc: bool = False
    #: The host is this machine: only of this one it is known what is installed.
    here: bool = True


@dataclass(frozen=True, slots=True)
class LogMarks:
    """Texts by which ``stoker logs --explain`` knows which start a line of the log belongs to."""

    #: A start begins: what came before did not end this one.
    starts: tuple[str, ...] = ()
    #: The engine can be used.
    ready: tuple[str, ...] = ()
    #: The engine was ordered to stop: the errors that follow come from that.
    ordered_ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Planner:
    """How plans for an engine are made. Pure: it reads no file and opens no socket."""

    #: The plan that serves the candidate on the host, whose GPUs are all of the given kind.
    #: ``None`` where the engine does not run on that host unless it is asked for by name. Raises
    #: ``StokerError`` where the model does not fit, ``UsageError`` for what is asked wrongly.
    plan: Callable[[Host, Candidate, Requirements, GpuSpec | None], Plan | None]
    #: Why the engine can't run on a host at all; ``None`` where it can.
    why_not: Callable[[Host, GpuSpec | None], StokerError | None] = lambda _host, _gpu: None
    #: Requests share few slots: for more users than this, and on data-centre GPUs, engines without
    #: such a limit are planned for first. ``None`` is no limit.
    most_users: int | None = None
    #: Points that its plans get on top in the ranking, on the scale of ``Plan.score``.
    margin: float = 0.0
    #: The speed of one of its plans under other traffic than it was made for; ``None`` where the
    #: engine has no model of that.
    speed_under: Callable[[Plan, GpuSpec, Traffic], Speed | None] | None = None
    #: One of its plans as the simulation of fleets knows it; ``None`` where the engine's scheduling
    #: is not simulated.
    replica: Callable[[Plan, GpuSpec], Replica | None] | None = None
    #: Other values for arguments of one of its plans, which may be faster on the host.
    trials: Callable[[Plan, Host], tuple[Trial, ...]] = lambda _plan, _host: ()
    #: What to type to serve a plan, for an engine that Stoker does not start.
    commands: Callable[[Plan], tuple[str, ...]] = lambda _plan: ()


@dataclass(frozen=True, slots=True)
class EngineFolder:
    """A folder in an engine's container whose content must outlive it."""

    #: What the volume for it is called: ``models``.
    name: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReplicaContainer:
    """One replica of a plan in a container of a deployed site.

    It holds no secret, and nothing of the machine that it was made on but ``model_folder``.
    """

    image: str
    #: What follows the image's entrypoint, and the same with the reason for each.
    command: tuple[str, ...]
    arguments: tuple[Argument, ...]
    port: int
    #: Variables that are no secret, each with its reason.
    env: tuple[Argument, ...]
    #: The variable that holds the key which requests must carry.
    key_variable: str
    #: The variable with the model hub's token; ``None`` where nothing is fetched from the hub.
    hub_token_variable: str | None
    #: Answers 200 without a key as soon as the model can be used.
    health_path: str
    #: The longest that a first start is waited for: the download, the load and the compilation.
    first_start_s: int
    #: The longest that running answers are waited for after the order to stop.
    stop_s: int
    folders: tuple[EngineFolder, ...]
    #: Small files that the engine reads: the path inside, and the text.
    files: tuple[tuple[str, str], ...] = ()
    #: The model's folder on the machine, and where it is mounted; ``None``: it is fetched.
    model_folder: tuple[str, str] | None = None
    #: What /dev/shm must hold.
    shm_bytes: int = SHM_BYTES
    #: The same server as a process: what follows ``python``, and the packages that it needs.
    process: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    #: A package index that has what PyPI lacks of them; empty where PyPI has all.
    package_index: str = ""
    #: Shared libraries that no wheel holds: the dynamic linker's name, and Debian's package.
    libraries: tuple[tuple[str, str], ...] = ()
    #: Its Prometheus metrics of requests that run, and of those that wait.
    running_metric: str = ""
    waiting_metric: str = ""
    metrics_path: str = "/metrics"
    #: The variable with paths that answer without the key, for a network that lets few callers in;
    #: empty where the engine has no such setting.
    open_paths_variable: str = ""


class LaunchFunction(Protocol):
    """Turns a plan into something to run."""

    def __call__(
        self, plan: Plan, *, port: int, key: str, options: Options
    ) -> ProcessLaunch | ContainerLaunch:
        """What to run so that the plan's model answers on the loopback ``port`` under ``key``."""
        ...


class ReplicaFunction(Protocol):
    """Makes the container that each replica of a plan runs in."""

    def __call__(
        self, plan: Plan, *, image: str = "", more_names: tuple[str, ...] = ()
    ) -> ReplicaContainer:
        """The container, with another image where one is named, and more names for the model.

        Raises ``StokerError`` for a plan that can't be served so.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Launcher:
    """How Stoker starts an engine, and what it knows of the engine's start."""

    launch: LaunchFunction
    #: The phase that a line of the engine's log begins, or ``None``.
    phase: Callable[[str], str | None] = lambda _line: None
    log_marks: LogMarks = LogMarks()
    #: The bytes of one GPU that a line of the engine's log reports for the KV cache, or ``None``.
    cache_bytes: Callable[[str], int | None] = lambda _line: None
    #: Why the engine can't be started on a host; ``None`` where it can. Starts nothing itself.
    obstacle: Callable[[Host, PlacementRequest], StokerError | None] = lambda _host, _wanted: None
    #: How a plan is run there. Raises ``StokerError`` where it can't be. Installs nothing.
    place: Callable[[Plan, Host, PlacementRequest], Options] = lambda _plan, _host, _wanted: (
        Options()
    )
    #: Installs what ``place`` relies on and this machine lacks. Yields one line before each step
    #: that takes long. Raises ``StokerError`` where a step fails.
    install: Callable[[PlacementRequest], Iterator[str]] = lambda _wanted: iter(())
    #: The environment variable by which its container gets its key.
    key_variable: str | None = None
    #: Whether it can use the GPU of the host, which is this machine: the build that is installed,
    #: or a container. Asked only where there is one; may take half a second.
    uses_gpu: Callable[[Host], bool] = lambda _host: True
    #: Whether a plan of its runs on a GPU, with the arguments that the user may have changed.
    runs_on_gpu: Callable[[Plan], bool] = lambda plan: plan.gpus > 0
    #: Whether any part of the model is computed on the CPU, with such arguments.
    computes_on_cpu: Callable[[Plan], bool] = lambda plan: plan.gpus == 0
    #: What is taken for granted of a host elsewhere on which a plan is to start, as the end of a
    #: sentence; empty for nothing.
    assumed: Callable[[Plan, Host], str] = lambda _plan, _host: ""
    #: One sentence on what a start fetches beside the model; empty for nothing.
    also_fetched: Callable[[Plan, Host, PlacementRequest], str] = lambda _plan, _host, _wanted: ""
    #: One replica of a plan in a deployed site; ``None``: Stoker writes no deployment files for it.
    replica: ReplicaFunction | None = None


class ServerClient(Protocol):
    """How a running server is asked about itself: the functions of the module ``Engine.client``."""

    name: str
    #: The path that reports the server's version, where it has one.
    VERSION_AT: str | None

    async def is_it(self, http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
        """Whether the server is of this kind. ``listing`` is its ``/v1/models``.

        May raise what a server of another kind makes it raise.
        """
        ...

    async def warnings(
        self, http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
    ) -> list[str]:
        """What of this server causes trouble in an editor, each with what to do about it."""
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

        Raises ``NotImplementedError`` where the server has no way to count.
        """
        ...

    async def count_texts(
        self, http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
    ) -> Sequence[int]:
        """How many tokens each text is by itself, with no template and nothing added.

        Raises ``NotImplementedError`` where the server has no way to count.
        """
        ...

    def adapt(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The chat request in the form that this server takes, where it differs from OpenAI's."""
        ...


@dataclass(frozen=True, slots=True)
class PrefillReport:
    """How a server is asked to report in a stream how far it has read the prompt."""

    #: The field of a request that asks for it when it is true.
    field: str
    #: The key of an event that reports it: an object with ``total`` and ``processed`` tokens.
    key: str


@dataclass(frozen=True, slots=True)
class SavedSlot:
    """A slot of an engine as it was written to a file."""

    tokens: int
    size_bytes: int
    #: How long it took, in which the engine did nothing else.
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class SlotFiles:
    """How what an engine has read is written to files, and read back after a restart.

    The files lie in ``Options.slot_folder``, and are named by their names there.
    """

    #: Plans share files only if their keys are equal; ``None`` where none are to be kept. Raises
    #: ``OSError``.
    key: Callable[[Plan], str | None]
    #: The tokens that each idle slot holds.
    held: Callable[[aiohttp.ClientSession, Backend], Awaitable[Mapping[int, int]]]
    #: Writes a slot. Raises ``aiohttp.ClientError``.
    save: Callable[[aiohttp.ClientSession, Backend, int, str], Awaitable[SavedSlot]]
    #: Reads a slot back: its tokens then. Raises ``aiohttp.ClientError``.
    restore: Callable[[aiohttp.ClientSession, Backend, int, str], Awaitable[int]]


@dataclass(frozen=True, slots=True, eq=False)
class PromptReader:
    """How a prompt is read before it is asked for. Both raise ``aiohttp.ClientError``."""

    #: The ids of a chat's prompt, as its server writes it.
    tokens: Callable[[aiohttp.ClientSession, Backend, Mapping[str, Any]], Awaitable[list[int]]]
    #: Reads a prompt into a slot, without an answer: only what is not there yet.
    read: Callable[[aiohttp.ClientSession, Backend, int, Sequence[int]], Awaitable[None]]


class InfillTokenizer(Protocol):
    """How the texts of one model at one server become tokens.

    Tokens are ids where prompts are, else the pieces of text that they stand for, which joined are
    that text. Both methods raise ``aiohttp.ClientError``, and ``StokerError`` where the vocabulary
    can't be read.
    """

    async def tokens(self, text: str, *, special: bool) -> Sequence[int] | Sequence[str]:
        """The tokens of a text; with ``special``, names of special tokens in it are those tokens.

        Without, they may be all the same: it is up to the caller that there are none.
        """
        ...

    async def begin(self) -> Sequence[int]:
        """The ids that a prompt begins with: ``<s>`` and the like; none where it is a text."""
        ...


class NativeStream(Protocol):
    """One streamed answer of an API of the engine's own."""

    def feed(self, data: bytes) -> bytes:
        """The server-sent events of OpenAI's completions for what came."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NativeCompletions:
    """An API of the engine's own that takes OpenAI's completions in another form."""

    #: The request in its form, and the fields that it has no place for.
    request: Callable[[Mapping[str, Any]], tuple[dict[str, Any], tuple[str, ...]]]
    #: A whole answer of its as OpenAI's.
    whole: Callable[[Mapping[str, Any]], dict[str, Any]]
    stream: Callable[[], NativeStream]


@dataclass(frozen=True, slots=True, eq=False)
class OwnInfill:
    """A path of the engine's own, ``/infill``, for models whose form is not known here."""

    #: The prompt that the engine itself writes for a request, and how many tokens it is.
    written: Callable[
        [aiohttp.ClientSession, Backend, Mapping[str, Any]], Awaitable[tuple[str, int]]
    ]
    #: What it reads whole, before and after the cursor.
    surely_read_bytes: tuple[int, int]
    #: The path that reads a whole ``prompt`` of token ids, and answers in the same form.
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class InfillApi:
    """How a prompt to fill in between two texts is written for the engine, and where it goes."""

    tokenizer: Callable[[aiohttp.ClientSession, Backend, str], Awaitable[InfillTokenizer]]
    #: Prompts are token ids.
    takes_ids: bool
    #: The path of its completions.
    path: str = "/v1/completions"
    #: The field for the ids of tokens that end an answer.
    stop_ids_field: str | None = None
    #: How many texts that end an answer it takes, for an engine that takes those in their place.
    most_stops: int = 0
    #: ``None``: its completions are OpenAI's.
    native: NativeCompletions | None = None
    own: OwnInfill | None = None


@dataclass(frozen=True, slots=True)
class CompletionOrder:
    """How an engine takes completions before the chats that wait in its queue."""

    #: The launch argument that makes it read the field; with another value it refuses the field.
    argument: Argument
    #: The field of a completion, and its value.
    field: str
    value: int

    def fields(self, plan: Plan) -> dict[str, int]:
        """What a completion for the engine of ``plan`` carries: nothing without the argument."""
        orders = plan.argument(self.argument.name) == self.argument.value
        return {self.field: self.value} if orders else {}


@dataclass(frozen=True, slots=True, eq=False)
class Drafting:
    """How an engine drafts tokens that its model then checks: speculative decoding."""

    #: What its counters at ``/metrics`` begin with (``draft_counts``).
    metrics_prefix: str
    #: Whether they may be asked for while it answers, and delay nothing.
    asked_while_busy: bool
    #: The arguments that make it draft.
    arguments: tuple[str, ...]
    #: Whether a plan drafts.
    drafts: Callable[[Plan], bool]
    #: What a plan's drafts cost on a host, whose GPUs are of the given kind. The model's shape must
    #: be known. ``None`` where the costs of its kind of drafts are not known.
    cost: Callable[[Plan, Host, GpuSpec | None], DraftCost | None]

    def without(self, plan: Plan) -> Plan:
        """The plan without its drafts. Memory that it has planned for them stays free."""
        return plan.without_drafts(self.arguments)


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A kind of inference server: all that the rest of Stoker knows of it."""

    #: As commands, settings and plans name it: ``llama.cpp``.
    name: str
    #: As its own project writes it: ``llama.cpp``, ``LM Studio``.
    title: str
    #: The module that is its ``ServerClient``. Named, not imported: an HTTP client comes with it,
    #: which commands that only plan do without.
    client: str
    #: The formats of weights that it serves, the usual one first.
    formats: tuple[Format, ...] = ("safetensors",)
    #: ``None``: nothing is planned for it.
    planner: Planner | None = None
    #: ``None``: Stoker does not start it. It can still be adopted.
    launcher: Launcher | None = None
    #: Its name at ``/metrics`` (Prometheus) for the number of requests that it works on.
    running_metric: str | None = None
    #: Its names there for the part of its KV cache that is in use, from 0 to 1.
    kv_cache_metrics: tuple[str, ...] = ()
    #: ``None``: it does not draft, as far as is known.
    drafting: Drafting | None = None
    #: For a gateway: the kinds of server behind it, as far as it reports them. A gateway orders its
    #: requests itself.
    behind: Callable[[aiohttp.ClientSession, Backend], Awaitable[tuple[str, ...]]] | None = None
    #: Whether a request for a whole answer with this many choices is to be sent as one for a
    #: stream, because only its streams report all tokens, or only through them it notices that its
    #: client has left, which counts where it reads slowly. The gateway joins the stream again.
    asks_for_stream: Callable[[Mapping[str, Any], int, bool], bool] = (
        lambda _request, _choices, _reads_slowly: False
    )
    #: Whether ``prompt_tokens`` of its answers is the whole prompt, whatever came from its cache:
    #: some servers report what they read alone.
    reports_whole_prompts: bool = False
    #: ``None``: requests to fill in between two texts are passed on as they are.
    infill: InfillApi | None = None
    #: ``None``: what it has read ends with its process.
    slot_files: SlotFiles | None = None
    #: ``None``: it reads only what it is to answer.
    prompt_reader: PromptReader | None = None
    #: The field of a request that only requests with the same value share a cached prefix with.
    #: ``None``: all requests share one cache.
    cache_salt_field: str | None = None
    #: The header by which a router in front of several of them keeps a conversation with one.
    #: ``None``: none is known.
    session_header: str | None = None
    #: The field of a request that names the slot which it is to take. ``None``: there is no such
    #: thing, or what the slot held before would be lost.
    slot_field: str | None = None
    #: How completions go before chats that wait, in an engine without slots; ``None``: they do not.
    completion_order: CompletionOrder | None = None
    #: For an engine that notices a client's leaving while it reads a prompt only by writing to it.
    prefill_report: PrefillReport | None = None
    #: The file that a server on this machine reads for a model, by the name under which it serves
    #: it; ``None`` where that is not known.
    local_file: Callable[[str], Path | None] = lambda _model: None
