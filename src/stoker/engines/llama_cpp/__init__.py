"""llama.cpp with its own server: embedded through wheels (xllamacpp), or in its makers' images."""

from stoker.engines.base import Engine, Launcher, Planner, PrefillReport
from stoker.engines.llama_cpp import llama_answers, llama_launch, llama_placement
from stoker.engines.llama_cpp.llama_container import KEY_VARIABLE
from stoker.engines.llama_cpp.llama_drafts import DRAFTING
from stoker.engines.llama_cpp.llama_infill import INFILL
from stoker.engines.llama_cpp.llama_plan import ENGINE as NAME
from stoker.engines.llama_cpp.llama_plan import plan_llama
from stoker.engines.llama_cpp.llama_reading import PROMPT_READER
from stoker.engines.llama_cpp.llama_slots import SLOT_FILES
from stoker.engines.llama_cpp.llama_trials import llama_trials

ENGINE = Engine(
    name=NAME,
    title="llama.cpp",
    client=f"{__name__}.llama_client",
    formats=("gguf",),
    asks_for_stream=llama_answers.asks_for_stream,
    infill=INFILL,
    slot_files=SLOT_FILES,
    prompt_reader=PROMPT_READER,
    slot_field="id_slot",
    # Both seen in build b11549.
    reports_whole_prompts=True,
    prefill_report=PrefillReport(field="return_progress", key="prompt_progress"),
    running_metric="llamacpp:requests_processing",
    drafting=DRAFTING,
    # Its slots share one cache: for more users the paging of others is what is wanted.
    planner=Planner(plan=plan_llama, most_users=4, trials=llama_trials),
    launcher=Launcher(
        launch=llama_launch.launch,
        phase=llama_launch.phase,
        log_marks=llama_launch.LOG_MARKS,
        obstacle=llama_launch.obstacle,
        place=llama_placement.place,
        key_variable=KEY_VARIABLE,
        uses_gpu=llama_placement.uses_gpu,
        also_fetched=llama_placement.also_fetched,
        runs_on_gpu=llama_launch.runs_on_gpu,
        computes_on_cpu=llama_launch.computes_on_cpu,
        assumed=llama_launch.assumed,
    ),
)
