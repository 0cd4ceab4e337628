"""The files that hold what an engine has read, over its end: which there are, and whether whole.

A file is listed in the manifest after it was written and its checksum taken, under a name that none
had before. So whatever ends this process at any point leaves files that are whole, or not listed.
One that is being restored is not listed meanwhile: if it ends the engine, it is not tried again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from stoker.gateway.prompt.cache_ledger import ReadPrompt
from stoker.private_files import make_private, write_private

#: The most that all files take ...
MOST_BYTES = 2**30
#: ... and never more than this share of what is free.
_FREE_SHARE = 0.1
_MANIFEST = "manifest.json"
_PIECE_BYTES = 2**20


class SavedPrompt(msgspec.Struct, frozen=True):
    """One file, and the prompt in it."""

    name: str
    size_bytes: int
    checksum: str
    prompt_tokens: int
    held_tokens: int
    #: What stands for the prompt's head in every process, and its tokens.
    head: str
    head_tokens: int


class SavedPrompts:
    """The files in ``folder``, which is made for one key and is the only one beside it.

    Everything but ``__init__`` may raise ``OSError``, and may take as long as the disk does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Oldest first.
        self._kept: list[SavedPrompt] = []
        #: By the name of its file: what this process has saved.
        self._added: dict[str, ReadPrompt] = {}

    def open(self) -> None:
        """Read the manifest; remove the files of other keys, and what is not listed or not whole.

        One that can't be read lists nothing.
        """
        make_private(self.folder.parent)
        make_private(self.folder)
        for other in self.folder.parent.iterdir():
            if other != self.folder:
                _remove(other)
        self._list(each for each in _listed(self.folder / _MANIFEST) if self._is_whole(each))

    @property
    def newest(self) -> SavedPrompt | None:
        """What was saved last."""
        return self._kept[-1] if self._kept else None

    def has(self, prompt: ReadPrompt) -> bool:
        """Whether one with the same head is there."""
        return any(each.head == prompt.chain.head for each in self._kept)

    def has_all(self, prompt: ReadPrompt) -> bool:
        """Whether this very prompt is there."""
        return any(self._added.get(each.name) is prompt for each in self._kept)

    def room_for(self, size_bytes: float) -> bool:
        """Make room for one more file, the oldest out; ``False`` where it is too large for that."""
        free = shutil.disk_usage(self.folder).free
        kept = sum(each.size_bytes for each in self._kept)
        most = min(MOST_BYTES, _FREE_SHARE * (free + kept))
        if size_bytes > most:
            return False
        while kept + size_bytes > most:
            kept -= self._kept[0].size_bytes
            self._list(self._kept[1:])
        return True

    def path(self, name: str) -> Path:
        """Where the file of this name lies."""
        return self.folder / name

    def add(self, name: str, prompt: ReadPrompt) -> None:
        """List a file that is complete; one of the same head gives way to it."""
        chain = prompt.chain
        path = self.path(name)
        new = SavedPrompt(
            name,
            path.stat().st_size,
            _checksum(path),
            prompt.prompt_tokens,
            prompt.held_tokens or 0,
            chain.head,
            chain.tokens(chain.head_blocks, prompt.prompt_tokens),
        )
        others = (each for each in self._kept if each.head != chain.head)
        self._added[name] = prompt
        self._list([*others, new])

    def set_aside(self, saved: SavedPrompt) -> None:
        """List it no longer, and keep the file."""
        self._write([each for each in self._kept if each != saved])

    def put_back(self, saved: SavedPrompt) -> None:
        """List it again, as the newest."""
        self._list([*self._kept, saved])

    def discard(self, name: str) -> None:
        """Remove a file that is not listed."""
        self.path(name).unlink(missing_ok=True)

    def _list(self, kept: Iterable[SavedPrompt]) -> None:
        """The manifest first: what it lists is there."""
        self._write(list(kept))
        names = {each.name for each in self._kept}
        self._added = {name: prompt for name, prompt in self._added.items() if name in names}
        for path in self.folder.iterdir():
            if path.name not in {_MANIFEST, *names}:
                _remove(path)

    def _write(self, kept: list[SavedPrompt]) -> None:
        """Where a full disk refuses the manifest, what was listed stays listed."""
        write_private(self.folder / _MANIFEST, msgspec.json.encode(kept))
        self._kept = kept

    def _is_whole(self, saved: SavedPrompt) -> bool:
        path = self.path(saved.name)
        try:
            # A name with a folder in it is not from here.
            is_ours = path.parent == self.folder and path.is_file() and not path.is_symlink()
            size_is_right = is_ours and path.stat().st_size == saved.size_bytes
            return size_is_right and _checksum(path) == saved.checksum
        except OSError:
            return False


def _listed(manifest: Path) -> list[SavedPrompt]:
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=list[SavedPrompt])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return []


def _checksum(path: Path) -> str:
    digest = blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
