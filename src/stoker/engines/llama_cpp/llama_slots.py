"""What llama.cpp has read, saved to files and restored from them. Seen in build b11549.

A slot is saved and restored whole. A later prompt that begins as a restored one reads only what is
new to it, as if the server had never been stopped. The file also holds the tokens, so it is as
private as the conversation. llama.cpp compares a file with its own layers, types and lengths, but
not with its weights, and a file that is cut off ends its process. So a file must be the one that
was saved, by the same model and build.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json
from stoker.engines.base import Backend, SavedSlot, SlotFiles
from stoker.engines.llama_cpp import llama_drafts
from stoker.planning import Plan

if TYPE_CHECKING:
    import aiohttp

#: Of arguments that change neither what a slot holds nor the form of its file. Memory that happens
#: to be free decides ``cache_ram_mib`` at each start.
_WITHOUT_EFFECT = frozenset(
    {
        "cache_ram_mib",
        "cpuparams.n_threads",
        "cpuparams_batch.n_threads",
        "n_batch",
        "n_ubatch",
        "slot_prompt_similarity",
    }
)
FOLDER = "slot_save_path"
#: Pieces of the model's file that are compared, and the bytes of each. Other weights differ nearly
#: everywhere; reading all of a file of 5 GB would take seconds.
_SAMPLES, _SAMPLE_BYTES = 64, 4096
#: A slot that answers is saved or restored when it has ended.
_WITHIN_S = 10.0


def key(plan: Plan) -> str | None:
    """What the files of a plan are kept under: hexadecimal digits that no other model, build or
    argument leads to.

    ``None`` where they are not to be kept: layers that keep only the end of a context can't take up
    an earlier place in it; a file lacks what the head that drafts has read, and a slot restored
    over less than that answers 500 from then on
    (``findings/llamacpp-restored-slot-fails-where-it-drafts.sh``); and the user may have given a
    folder (an empty one turns it off). Raises ``OSError`` where the model's file can't be read.
    """
    if plan.slot_bytes_per_token is None or plan.model.path is None:
        return None
    if llama_drafts.drafts(plan):
        return None
    if plan.argument(FOLDER) is not None:
        return None
    parts = [f"{a.name}={a.value!r}" for a in plan.arguments if a.name not in _WITHOUT_EFFECT]
    digest = hashlib.blake2b("\0".join(sorted(parts)).encode(), digest_size=16)
    for file in (plan.model.path, *_library()):
        _add_file(digest, file)
    return digest.hexdigest()


def _library() -> list[Path]:
    """The compiled part of xllamacpp: builds of one version differ."""
    found = importlib.util.find_spec("xllamacpp")
    folders = (found.submodule_search_locations or ()) if found else ()
    files = (file for folder in folders for file in Path(folder).iterdir() if file.is_file())
    return sorted(file for file in files if file.suffix in (".so", ".pyd", ".dylib", ".dll"))


def _add_file(digest: hashlib.blake2b, path: Path) -> None:
    """Its size, when it was last changed, and samples of its bytes."""
    status = path.stat()
    digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}".encode())
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(status.st_size * sample // _SAMPLES)
            digest.update(file.read(_SAMPLE_BYTES))


async def held(http: aiohttp.ClientSession, backend: Backend) -> Mapping[int, int]:
    """The tokens of each slot that is idle and has been used.

    The slots' queue answers, so this is not to be asked while a request is under way
    (``docs/contributing/gateway.md``).
    """
    slots = await http_json.get(http, backend, "/slots")
    return {
        int(slot["id"]): int(slot["n_prompt_tokens"])
        for slot in slots
        if not slot["is_processing"] and "n_prompt_tokens" in slot
    }


async def save(http: aiohttp.ClientSession, backend: Backend, slot: int, name: str) -> SavedSlot:
    """Write a slot to the file ``name`` in the folder that the server was started with.

    Raises ``aiohttp.ClientError`` where it can't be written: a full disk is a 500.
    """
    answer = await _act(http, backend, slot, "save", name)
    seconds = float(answer["timings"]["save_ms"]) / 1000
    return SavedSlot(int(answer["n_saved"]), int(answer["n_written"]), seconds)


async def restore(http: aiohttp.ClientSession, backend: Backend, slot: int, name: str) -> int:
    """Read a slot back; the tokens that it holds then.

    Raises ``aiohttp.ClientError`` where the file is of another model or form.
    """
    return int((await _act(http, backend, slot, "restore", name))["n_restored"])


async def _act(
    http: aiohttp.ClientSession, backend: Backend, slot: int, action: str, name: str
) -> Any:
    path = f"/slots/{slot}?action={action}"
    return await http_json.post(http, backend, path, {"filename": name}, within_s=_WITHIN_S)


SLOT_FILES = SlotFiles(key=key, held=held, save=save, restore=restore)
