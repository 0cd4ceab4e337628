"""Which GGUF files of a repository are models, by their names alone."""

from __future__ import annotations

import pytest

from stoker.errors import StokerError
from stoker.models import gguf_names
from stoker.models.sources import hub

HELPERS = [
    # unslothai/unsloth issue 6084 and neighbours: the projector's word before, between and after.
    "mmproj-F16.gguf",
    "mmproj-model-f16.gguf",
    "gemma-3-4b-it-mmproj-F16.gguf",
    "Gemma4_26B.BF16-mmproj.gguf",
    "Qwen2.5-VL-7B.mmproj-Q8_0.gguf",
    "Pixtral-12B_mmproj_BF16.gguf",
    "SmolVLM2-MMProj-Q8_0.gguf",
    "mmproj/Qwen3-VL-8B-F16.gguf",
    "llava-v1.6-mm-projector-f16.gguf",
    # mradermacher and bartowski publish the statistics beside the models.
    "Qwen3-30B-A3B.imatrix.gguf",
    "Mistral-Small-imatrix.gguf",
    "imatrix_unsloth.gguf",
]
MODELS = [
    "Qwen2.5-VL-7B.Q4_K_M.gguf",
    "Model-Q4_K_M-imatrix.gguf",  # made with an importance matrix
    "Q8_0/big-00001-of-00003.gguf",
    "gpt-oss-20b-MXFP4.gguf",
    "MMProfile-7B-Q4_0.gguf",
]


@pytest.mark.parametrize("name", HELPERS)
def test_a_projector_or_an_importance_matrix_is_no_model(name: str) -> None:
    assert not gguf_names.is_first_of_model(name)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_one_whatever_it_was_made_with(name: str) -> None:
    assert gguf_names.is_first_of_model(name)


def pick(selector: str | None, *names: str) -> str:
    files = [hub.Listed(name, 10**9, None) for name in names]
    return hub.choose("org/repo", [f for f in files if hub._is_first_gguf(f.name)], selector).name


@pytest.mark.parametrize(
    ("selector", "names", "chosen"),
    [
        # The model in parts is taken, not the whole projector beside it.
        ("BF16", ["m.BF16-00002-of-00002.gguf", "m.BF16-00001-of-00002.gguf", "m.BF16-mmproj.gguf"],
         "m.BF16-00001-of-00002.gguf"),
        # A folder for each quantization, names without it.
        ("UD-Q4_K_XL", ["UD-Q4_K_XL/m-00001-of-00002.gguf", "UD-Q4_K_XL/m-00002-of-00002.gguf",
                        "BF16/m-00001-of-00001.gguf"], "UD-Q4_K_XL/m-00001-of-00002.gguf"),
        # Drafts and predictors go with a model.
        ("Q8_0", ["a-draft-Q8_0.gguf", "m-Q8_0.gguf"], "m-Q8_0.gguf"),
        (None, ["m-mtp-Q4_K_M.gguf", "m-Q8_0.gguf"], "m-Q8_0.gguf"),
        ("F16", ["m-eagle3-F16.gguf", "m.F16.gguf"], "m.F16.gguf"),
        # A repository of drafts, or of a model with that name, has nothing else.
        ("Q8_0", ["m-draft-Q8_0.gguf", "m-draft-Q4_0.gguf"], "m-draft-Q8_0.gguf"),
        # Who names a file means it.
        ("m-draft-Q8_0.gguf", ["m-draft-Q8_0.gguf", "m-Q8_0.gguf"], "m-draft-Q8_0.gguf"),
        (None, ["mmproj-F16.gguf", "m-F16.gguf"], "m-F16.gguf"),
    ],
)  # fmt: skip
def test_the_model_is_chosen_and_not_what_goes_with_it(
    selector: str | None, names: list[str], chosen: str
) -> None:
    assert pick(selector, *names) == chosen


@pytest.mark.parametrize(
    "helper", ["m-mmproj-F16.gguf", "F16/mmproj-m.gguf", "m-draft-F16.gguf", "m-F16-lora.gguf"]
)
def test_a_quantization_that_only_a_helper_has_is_refused_with_the_models(helper: str) -> None:
    with pytest.raises(StokerError, match="no GGUF file for 'F16'") as refused:
        pick("F16", helper, "m-Q4_K_M.gguf", "m-BF16.gguf")
    assert refused.value.why == "It has m-BF16.gguf, m-Q4_K_M.gguf."
