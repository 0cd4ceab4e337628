#!/bin/sh
# llama.cpp: where the model drafts with its own head, a restored slot answers 500 from then on.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with a GGUF file of
# 0.6 MB that this script writes: GLM-4.5's architecture, one block and the head that predicts a
# further token, random weights.
#
# Behaviour: `--spec-type draft-mtp` gives the head a context of its own beside the model's. A file
# that a slot is saved to (`POST /slots/0?action=save`) holds the model's context and not the head's.
# Restored into a slot that has held a shorter prompt since, it is taken (200, all tokens restored),
# and the next request that goes on from it gets 500, "failed to process speculative batch". So does
# each later one. Without drafts the same requests are answered.
#
# Seen (HTTP status of a prompt that was saved, then restored over a shorter one, asked three times):
#   without drafts: 200 200 200
#   with drafts: 500 500 500
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about ten seconds. Needs Python 3.10 or newer with pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
python3 -m pip install -qq --no-deps --target "$folder/lib" xllamacpp==2026.10.11549 || exit 2
cat > "$folder/try.py" <<'PYTHON'
import json
import math
import os
import random
import socket
import struct
import sys
import urllib.error
import urllib.request
from array import array
from pathlib import Path

import xllamacpp

FOLDER = Path(sys.argv[1])
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
WIDTH, WIDE, KV = 64, 128, 32


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def field(name, kind, data):
    return text(name) + struct.pack("<I", kind) + data


def numbers(name, kind, form, values):
    data = struct.pack("<IQ", kind, len(values)) + struct.pack(f"<{len(values)}{form}", *values)
    return field(name, 9, data)


def fields():
    counts = {
        "block_count": 2, "nextn_predict_layers": 1, "leading_dense_block_count": 1,
        "context_length": 2048, "embedding_length": WIDTH, "feed_forward_length": WIDE,
        "attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": 16,
        "attention.value_length": 16, "expert_count": 2, "expert_used_count": 1,
        "expert_shared_count": 1, "expert_feed_forward_length": WIDE,
    }
    words = struct.pack("<IQ", 8, len(TOKENS)) + b"".join(map(text, TOKENS))
    return [
        field("general.architecture", 8, text("glm4moe")),
        *(field(f"glm4moe.{name}", 4, struct.pack("<I", n)) for name, n in counts.items()),
        field("glm4moe.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        field("tokenizer.ggml.model", 8, text("llama")),
        field("tokenizer.ggml.tokens", 9, words),
        numbers("tokenizer.ggml.scores", 6, "f", [0.0] * len(TOKENS)),
        numbers("tokenizer.ggml.token_type", 5, "i", [2, 3, 3, *[6] * 256]),
    ]


def shapes():
    attention = {
        "attn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, KV),
        "attn_v": (WIDTH, KV), "attn_output": (WIDTH, WIDTH), "post_attention_norm": (WIDTH,),
    }
    up, down = (WIDTH, WIDE), (WIDE, WIDTH)
    dense = {"ffn_gate": up, "ffn_up": up, "ffn_down": down}
    routed = {f"{name}_exps": (*shape, 2) for name, shape in dense.items()}
    routed |= {f"{name}_shexp": shape for name, shape in dense.items()}
    routed |= {"ffn_gate_inp": (WIDTH, 2), "exp_probs_b": (2,)}
    head = {"nextn.eh_proj": (2 * WIDTH, WIDTH), "nextn.enorm": (WIDTH,), "nextn.hnorm": (WIDTH,)}
    whole = {"token_embd": (WIDTH, len(TOKENS)), "output_norm": (WIDTH,)}
    whole |= {f"blk.0.{name}": shape for name, shape in (attention | dense).items()}
    return whole | {f"blk.1.{name}": shape for name, shape in (attention | routed | head).items()}


def write(path):
    """A GGUF file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
    chance = random.Random(1)
    tensors, offset, data = [], 0, b""
    for name, shape in shapes().items():
        size = math.prod(shape)
        values = array("f", (chance.gauss(0, 0.2) if len(shape) > 1 else 1.0 for _ in range(size)))
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        kind = "bias" if name.endswith("exp_probs_b") else "weight"
        tensors.append(text(f"{name}.{kind}") + dimensions + struct.pack("<IQ", 0, offset))
        data += values.tobytes()
        data += b"\0" * (-len(data) % 32)
        offset = len(data)
    facts = fields()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts)) + b"".join(facts + tensors)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)


def start(drafts):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(FOLDER / "model.gguf")
    params.n_ctx, params.n_parallel, params.slot_save_path = 2048, 1, f"{FOLDER}/"
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], port
    if drafts:
        kinds = xllamacpp.xllamacpp.common_speculative_type
        params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_MTP]
    return xllamacpp.Server(params), f"http://127.0.0.1:{port}"


def status(url, body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def statuses(drafts):
    """Save what a prompt left in the slot, use the slot for a short one, restore, and go on."""
    server, url = start(drafts)
    asked = {"prompt": "abcdefgh" * 20, "n_predict": 4, "temperature": 0, "ignore_eos": True}
    file = {"filename": f"slot-{drafts}"}
    before = [
        status(f"{url}/completion", asked),
        status(f"{url}/slots/0?action=save", file),
        status(f"{url}/completion", {**asked, "prompt": "xy"}),
        status(f"{url}/slots/0?action=restore", file),
    ]
    assert before == [200] * 4, before
    return [status(f"{url}/completion", asked) for _ in range(3)]


def main():
    write(FOLDER / "model.gguf")
    plain, drafting = statuses(False), statuses(True)
    print("without drafts:", *plain)
    print("with drafts:", *drafting)
    same = (plain, drafting) == ([200] * 3, [500] * 3)
    print("as described" if same else "CHANGED")
    return 0 if same else 1


code = main()
sys.stdout.flush()
os._exit(code)  # the server's threads are not waited for
PYTHON
PYTHONPATH="$folder/lib" python3 "$folder/try.py" "$folder" 2> "$folder/log" || {
  code=$?
  grep -A 20 Traceback "$folder/log" || exit "$code"
  exit 2
}
