"""vLLM: on GPUs, in a container or in a Python environment; on the CPU where it is asked for."""

from stoker.engines.base import CompletionOrder, Engine, Launcher, Planner
from stoker.engines.vllm import vllm_log_phases, vllm_placement, vllm_planner
from stoker.engines.vllm.vllm_drafts import DRAFTING
from stoker.engines.vllm.vllm_infill import INFILL
from stoker.engines.vllm.vllm_launch import KEY_VARIABLE, launch
from stoker.engines.vllm.vllm_planner import NAME
from stoker.engines.vllm.vllm_replica import replica
from stoker.engines.vllm.vllm_trials import vllm_trials
from stoker.planning import Argument

ENGINE = Engine(
    name=NAME,
    title="vLLM",
    client=f"{__name__}.vllm_client",
    formats=("safetensors",),
    infill=INFILL,
    # Seen in 0.32, with prefix caching.
    reports_whole_prompts=True,
    # Versions before 0.9 ignore it: docs.vllm.ai/en/v0.9.0/design/v1/prefix_caching.html
    cache_salt_field="cache_salt",
    # vllm-router's, 0.1.17; vLLM itself ignores it:
    # github.com/vllm-project/router/blob/main/docs/load_balancing/README.md
    session_header="x-session-id",
    # Lower goes first, and a chat has 0 (0.32, v1/core/sched/request_queue.py). Without the
    # argument any other number is an error, by entrypoints/openai/completion/protocol.py.
    completion_order=CompletionOrder(
        Argument(
            "scheduling-policy",
            "priority",
            "A completion, which a person waits for while typing, goes before chats that wait.",
        ),
        "priority",
        -1,
    ),
    running_metric="vllm:num_requests_running",
    drafting=DRAFTING,
    # Since 0.10, and before (vllm/v1/metrics/loggers.py).
    kv_cache_metrics=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    planner=Planner(
        plan=vllm_planner.plan,
        why_not=vllm_planner.why_not,
        # As many points as answers that are a quarter quicker: vLLM serves several requests from
        # one cache, and its speeds are known better than those of other engines.
        margin=0.5,
        speed_under=vllm_planner.speed_under,
        replica=vllm_planner.replica,
        trials=vllm_trials,
    ),
    launcher=Launcher(
        launch=launch,
        phase=vllm_log_phases.phase,
        log_marks=vllm_log_phases.LOG_MARKS,
        cache_bytes=vllm_log_phases.cache_bytes,
        obstacle=vllm_placement.obstacle,
        place=vllm_placement.place,
        install=vllm_placement.install,
        key_variable=KEY_VARIABLE,
        assumed=vllm_placement.assumed,
        also_fetched=vllm_placement.also_fetched,
        replica=replica,
    ),
)
