"""Where the catalogue knows no cause, the error that the log itself names is shown, as not known.

The logs are written anew after the shapes that these programs print. The errors are made up where
the catalogue has since learnt the real one.
"""

from __future__ import annotations

import pytest

from stoker.server.diagnosis.log_diagnosis import Diagnosis, Reader, diagnose

CORE = "(EngineCore_DP0 pid=120) ERROR 01-28 06:36:45 [core.py:946] "
ROOT = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s)"


def named(lines: list[str], engine: str | None = None) -> Diagnosis:
    found = diagnose(lines, engine)
    assert found is not None
    assert not found.in_catalogue
    assert found.title == "Stoker does not know this failure"
    return found


def test_last_line_of_the_first_traceback_is_the_error() -> None:
    found = named(
        [
            "(EngineCore_DP0 pid=120) INFO 01-28 06:36:40 [core.py:93] Initializing an engine",
            f"{CORE}EngineCore failed to start.",
            f"{CORE}Traceback (most recent call last):",
            f'{CORE}  File "/opt/vllm/v1/engine/core.py", line 937, in run_engine_core',
            f"{CORE}    engine_core = EngineCoreProc(*args, **kwargs)",
            f"{CORE}                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
            f"{CORE}ValueError: The moon is in the wrong phase for mlp_AR",
            "(APIServer pid=1) Traceback (most recent call last):",
            '(APIServer pid=1)   File "/opt/vllm/entrypoints/api_server.py", line 9, in run',
            f"(APIServer pid=1) {ROOT}: {{'EngineCore_DP0': 1}}",
        ]
    )
    assert "ValueError: The moon is in the wrong phase for mlp_AR." in found.cause
    assert found.line_number == 7
    assert found.line.startswith("(EngineCore_DP0 pid=120) ERROR")


def test_error_of_the_worker_that_failed_first_is_shown() -> None:
    first = "(Worker_TP1 pid=11) ERROR 03-01 10:00:00 [multiproc_executor.py:783] "
    second = "(Worker_TP0 pid=10) ERROR 03-01 10:00:01 [multiproc_executor.py:783] "
    found = named(
        [
            f"{first}Traceback (most recent call last):",
            f'{first}  File "/opt/model.py", line 1, in load',
            f"{second}Traceback (most recent call last):",  # the lines of both interleave
            f'{second}  File "/opt/dist.py", line 2, in recv',
            f"{second}torch.distributed.DistNetworkError: Connection closed by peer",
            f"{first}    raise LookupError(name)",
            f"{first}LookupError: layer 7 of rank 1",
            f"{CORE}Exception: WorkerProc initialization failed due to an exception in a "
            "background process. See stack trace for root cause.",
        ]
    )
    assert "LookupError: layer 7 of rank 1" in found.cause
    assert found.line_number == 7


@pytest.mark.parametrize(
    ("lead", "frames"),
    [
        ("", ""),  # llama-cpp-python, a bare script
        ("[rank0]: ", "[rank0]: "),  # torchrun
        ("(RayWorkerWrapper pid=12, ip=10.0.0.2) ", "(RayWorkerWrapper pid=12, ip=10.0.0.2) "),
        ("vllm-1  | ERROR 11-18 18:07:28 engine.py:366] ",) * 2,  # docker compose, vLLM 0.6
        ("[2025-05-01 10:00:00 TP0] Scheduler hit an exception: ", ""),  # SGLang
        ("2024-05-06T08:00:00.123456Z ERROR text_generation_launcher: ", ""),  # TGI
        ("    ", "    "),  # in stoker's own log
    ],
    ids=["bare", "torchrun", "ray", "compose", "sglang", "tgi", "stoker"],
)
def test_traceback_is_read_behind_every_kind_of_prefix(lead: str, frames: str) -> None:
    found = named(
        [
            f"{lead}Traceback (most recent call last):",
            f'{frames}  File "/opt/x.py", line 1, in load',
            f"{frames}    raise ShapeMismatch(a, b)",
            f"{frames}somelib.ShapeMismatch: 12 is not 13",
            "ValueError: and then something else",
        ]
    )
    assert "somelib.ShapeMismatch: 12 is not 13" in found.cause


def test_bare_assertion_is_shown_with_the_code_that_raised_it() -> None:
    found = named(
        [
            "Traceback (most recent call last):",
            '  File "/opt/x.py", line 1, in load',
            "    assert hidden_size % heads == 0",
            "           ^^^^^^^^^^^^^^^^^^^^^^^^",
            "AssertionError",
        ]
    )
    assert "AssertionError, raised at: assert hidden_size % heads == 0" in found.cause


def test_chain_of_exceptions_is_reported_from_its_root() -> None:
    found = named(
        [
            "Traceback (most recent call last):",
            '  File "/opt/x.py", line 1, in get',
            "KeyError: 'granite9'",
            "",
            "During handling of the above exception, another exception occurred:",
            "",
            "Traceback (most recent call last):",
            '  File "/opt/x.py", line 9, in load',
            "ValueError: No such kind of layer",
        ]
    )
    assert "KeyError: 'granite9'." in found.cause
    assert "That led to: ValueError: No such kind of layer." in found.cause
    assert found.line_number == 3


def test_reason_on_the_line_after_the_error_belongs_to_it() -> None:
    found = named(
        [
            "(APIServer pid=1) pydantic_core.ValidationError: 1 validation error for ModelConfig",
            "(APIServer pid=1)   Value error, The dial must be at eleven [type=value_error, "
            "input_value=ArgsKwargs((), {'model': 'm'}), input_type=ArgsKwargs]",
        ]
    )
    assert found.cause.endswith("for ModelConfig Value error, The dial must be at eleven.")


@pytest.mark.parametrize(
    ("lines", "expected", "number"),
    [
        (
            [
                "llama_model_load: error loading model: the number of beans is odd",
                "llama_model_load_from_file_impl: failed to load model",
                "common_init_from_params: failed to load model '/m.gguf'",
                "srv    load_model: failed to load model, '/m.gguf'",
                "main: exiting due to model loading error",
            ],
            "the number of beans is odd",
            1,
        ),
        (
            ["0.00.412.001 I srv  init: ok", "/src/ggml.c:4020: GGML_ASSERT(ne[0] == 64) failed"],
            "GGML_ASSERT(ne[0] == 64) failed",
            2,
        ),
        (
            [
                "terminate called after throwing an instance of 'std::out_of_range'",
                "  what():  unordered_map::at",
            ],
            "std::out_of_range' what():  unordered_map::at",
            1,
        ),
        (
            ["thread 'main' panicked at src/main.rs:10:5:", "the shard has no weights"],
            "the shard has no weights",
            1,
        ),
        (
            ["nvcc fatal   : Value 'c++99' is not defined for option 'std'"],
            "Value 'c++99' is not defined",
            1,
        ),
        (["docker: Error response from daemon: the whale is asleep."], "the whale is asleep", 1),
    ],
    ids=["llama.cpp", "assert", "c++", "rust", "nvcc", "docker"],
)
def test_program_without_tracebacks_names_it_in_its_first_error_line(
    lines: list[str], expected: str, number: int
) -> None:
    found = named(lines)
    assert expected in found.cause
    assert found.line_number == number


@pytest.mark.parametrize(
    "consequence",
    [
        "RuntimeError: Engine process failed to start. See stack trace for the root cause.",
        "RuntimeError: Worker failed with error 'x', please check the stack trace above for the "
        "root cause",
        "torch.distributed.DistNetworkError: Connection closed by peer [127.0.0.1]:4242",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
    ],
)
def test_consequence_that_is_printed_first_gives_way_to_the_error_below_it(
    consequence: str,
) -> None:
    found = named([consequence, "ValueError: the real one"])
    assert "the real one" in found.cause


def test_exception_that_only_reports_another_programs_failure_gives_way_to_its_error() -> None:
    found = named(
        [
            "ld: error: the object has two left feet",
            "Traceback (most recent call last):",
            "subprocess.CalledProcessError: Command '['ninja']' returned non-zero exit status 1.",
        ]
    )
    assert "two left feet" in found.cause


def test_cause_that_the_catalogue_knows_wins_over_the_error_that_is_named_first() -> None:
    found = diagnose(["ValueError: something odd", "OSError: [Errno 28] No space left on device"])
    assert found is not None
    assert found.id == "disk-full"


def test_failure_of_an_engine_without_any_named_error_asks_for_more_of_the_log() -> None:
    found = diagnose([f"{ROOT}: {{}}"])
    assert found is not None
    assert found.id == "engine-core-failed"
    assert "no line of this log names an error" in found.cause


@pytest.mark.parametrize(
    "line",
    [
        "WARNING 10-01 [config.py:1] Failed to read the optional file: FileNotFoundError: x",
        "INFO 10-01 [x.py:1] Error handling is on, failed requests are retried",
        "/x/y.py:1: UserWarning: RuntimeError: is what you may see later",
        "[W1001 12:00:00.1 socket.cpp:464] [c10d] The client socket has failed to connect",
        "0.00.412.001 W common_fit: failed to fit params to free device memory",
        "warning: failed to mlock 12 bytes",
        'time=2025-01-01T00:00:00.000Z level=INFO source=sched.go:1 msg="error handling ready"',
        "llama_model_loader: - kv   0: general.name str = Error-Corrector",
        "print_info: error_correction     = 0",
    ],
)
def test_line_that_warns_or_informs_names_no_error(line: str) -> None:
    assert diagnose([line]) is None


def test_known_words_in_a_warning_are_no_cause_where_the_log_names_an_error() -> None:
    warning = "WARNING 10-01 [cuda.py:3] Import failed: ImportError: libx.so.1: cannot open shared"
    found = named([f"{warning} object file", "ValueError: the real one"])
    assert "the real one" in found.cause
    alone = diagnose([f"{warning} object file"])
    assert alone is not None
    assert alone.id == "library-missing"


@pytest.mark.parametrize(
    ("ready", "line"),
    [
        ("INFO:     Application startup complete.", "ValueError: a client's odd request"),
        (
            "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
            "srv    send_error: task id = 0, error: request (600 tokens) exceeds the available "
            "context size (512 tokens), try increasing it",
        ),
        (
            "0.09.003.949 I srv          init: listening on http://127.0.0.1:8080",
            "0.12.000.001 E srv    operator(): got exception: "
            '{"error":{"code":400,"message":"Failed to parse grammar"}}',
        ),
    ],
)
def test_error_of_one_request_is_not_a_failure_of_the_server(ready: str, line: str) -> None:
    assert diagnose([ready, line]) is None


def test_next_start_of_llama_server_is_read_again() -> None:
    lines = [
        "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
        "srv    load_model: loading model '/m/other.gguf'",
        "llama_model_load: error loading model: unknown model architecture: 'glm9'",
    ]
    found = diagnose(lines)
    assert found is not None
    assert found.id == "gguf-version"


def test_server_that_died_is_explained_by_its_last_error_and_not_by_an_old_one() -> None:
    quiet = ["INFO:     127.0.0.1:1 - POST /v1/chat/completions HTTP/1.1 200 OK"] * 200
    found = named(
        [
            "Application startup complete",
            "ValueError: a client's odd request",
            *quiet,
            f"{CORE}EngineCore encountered a fatal error.",
            f"{CORE}Traceback (most recent call last):",
            f"{CORE}IndexError: block 9 of 8",
            "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
            *quiet,
            "ValueError: a request that came too late",
        ]
    )
    assert "IndexError: block 9 of 8" in found.cause


def test_error_of_an_earlier_start_is_forgotten() -> None:
    assert diagnose(["ValueError: odd", "INFO engine vllm started as process 4711"]) is None


def test_error_is_the_same_when_it_is_read_line_by_line() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "/x.py", line 1',
        "ValueError: odd:",
        "x",
    ]
    reader = Reader()
    for line in lines:
        reader.feed([line])
    assert reader.verdict() == diagnose(lines)
