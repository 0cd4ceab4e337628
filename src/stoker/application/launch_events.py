"""The events of a launch, in the order in which they can come."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from stoker.application.choice import Choice
from stoker.checks import SmokeTest
from stoker.engines import Recognised
from stoker.errors import Problem
from stoker.models import DownloadProgress, Model
from stoker.server import Deployment, LaunchSpec


@dataclass(frozen=True, slots=True)
class AlreadyRunning:
    """The same request runs at the same address: nothing is started."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class DetectingHost:
    """This machine is being examined."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is started next, unless the reader stops here: nothing was downloaded yet."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class ServerRecognised:
    """A server that is already running was recognised; it is adopted next."""

    server: Recognised


@dataclass(frozen=True, slots=True)
class Placing:
    """What is done so that the engine can run here, such as an installation."""

    action: str


@dataclass(frozen=True, slots=True)
class Downloading:
    """How far the model's download is."""

    progress: DownloadProgress


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """The model could not be had from its source; the next best choice follows."""

    model: Model
    problem: Problem


@dataclass(frozen=True, slots=True)
class Starting:
    """The server is started."""

    spec: LaunchSpec
    #: How long the last start of the same took, in seconds; ``None`` for the first.
    last_start_s: float | None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A new value of the deployment: another phase, or another state of the engine."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine answers."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Verifying:
    """A question is asked through the gateway, to show that it works."""

    question: str


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The last event of a launch: the deployment answered."""

    deployment: Deployment
    answer: SmokeTest


LaunchEvent: TypeAlias = (
    AlreadyRunning
    | DetectingHost
    | Chosen
    | ServerRecognised
    | Placing
    | Downloading
    | SourceFailed
    | Starting
    | StateChanged
    | Ready
    | Verifying
    | AnswerText
    | Verified
)

#: Closing it declines what would come next.
LaunchEvents: TypeAlias = Generator[LaunchEvent, None, None]
