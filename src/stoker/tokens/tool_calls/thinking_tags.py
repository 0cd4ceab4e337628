"""The tags between which models print their thinking, where the server leaves it in the text."""

from __future__ import annotations

#: What opens thinking, and what closes it, from the models' chat templates: Qwen, DeepSeek, GLM
#: and most others; Magistral; Seed-OSS; Command A; Kimi-VL; EXAONE Deep; models taught by prompt.
THINKING_TAGS = {
    "<think>": "</think>",
    "[THINK]": "[/THINK]",
    "<seed:think>": "</seed:think>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "◁think▷": "◁/think▷",
    "<thought>": "</thought>",
    "<thinking>": "</thinking>",
}
CLOSING_TAGS = frozenset(THINKING_TAGS.values())
