"""Ollama: planned for, and spoken to where it runs. Stoker does not start it."""

from stoker.engines.base import Engine, Planner
from stoker.engines.ollama.ollama_infill import INFILL
from stoker.engines.ollama.ollama_plan import ENGINE as NAME
from stoker.engines.ollama.ollama_plan import commands, plan_ollama
from stoker.models import ollama_file

ENGINE = Engine(
    name=NAME,
    title="Ollama",
    client=f"{__name__}.ollama_client",
    formats=("gguf",),
    planner=Planner(plan=plan_ollama, most_users=4, commands=commands),
    infill=INFILL,
    local_file=ollama_file,
)
