"""Loads weights into torch: safetensors or GGUF, never pickled ones or code of a repository."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.capabilities import require_package
from patientdx.errors import ModelError
from patientdx.models.settings import ModelSettings

_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_OTHER_TASK = re.compile(r"For(?!CausalLM|ConditionalGeneration)")  # such as BertForMaskedLM


class LoadedModel(NamedTuple):
    """A torch model in evaluation mode and its tokenizer; dtype and device as torch names them."""

    model: Any
    tokenizer: Any
    dtype: str
    device: str


def weight_files(path: Path) -> list[Path]:
    """The files of a model. Raises ModelError for a folder that is not one."""
    if path.is_file():
        return [path]
    files = [file for file in path.iterdir() if file.is_file()]
    if not any(file.suffix == ".safetensors" for file in files):
        raise _no_weights(path, files)
    if not (path / "config.json").is_file():
        raise ModelError(
            f"{path}: there is no config.json beside the weights",
            hint="name the folder that holds the whole saved model",
        )
    suffixes = {".safetensors", ".json", ".jinja", ".model", ".txt"}
    return [file for file in files if file.suffix in suffixes and file.name != "SOURCE.json"]


def load(path: Path, settings: ModelSettings) -> LoadedModel:
    """A model and its tokenizer. Raises ModelError where transformers cannot read them."""
    require_package("torch", "hf")
    require_package("transformers", "hf")
    device = _choose_device(settings.device)
    dtype = _choose_dtype(settings.dtype, device)
    with _silence_transformers(), _explain_failures(path):
        tokenizer = _load_tokenizer(path)
        model = _load_model(path, settings, device, dtype)
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    return LoadedModel(model.eval(), tokenizer, str(dtype).removeprefix("torch."), device)


def load_without_weights(folder: Path) -> Any:
    """The model of a folder on torch's meta device: names and shapes, no numbers.

    Raises ModelError for a model that does not continue text, or that transformers cannot read.
    """
    require_package("torch", "hf")
    require_package("transformers", "hf")
    import torch
    from transformers import AutoConfig

    with _silence_transformers(), _explain_failures(folder):
        config = AutoConfig.from_pretrained(str(folder), **_source_options(folder)[1])
        kinds = [kind for kind in config.architectures or [] if _OTHER_TASK.search(kind)]
        if kinds or getattr(config, "is_encoder_decoder", False):
            raise ModelError(
                f"{folder}: {kinds[0] if kinds else config.model_type} does not continue text",
                hint="only models that do can be run (…ForCausalLM)",
            )
        with torch.device("meta"):
            return _model_class(config).from_config(config, trust_remote_code=False)


def _no_weights(path: Path, files: list[Path]) -> ModelError:
    if any(file.suffix in _PICKLED for file in files):
        return ModelError(
            f"{path}: its weights are pickled, which can run code when opened: they are not opened",
            hint="convert them on a machine that you can lose: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)",
        )
    return ModelError(
        f"{path}: there are no safetensors in this folder",
        hint="name a folder with config.json and *.safetensors, or a .gguf file",
    )


def _choose_device(setting: str) -> str:
    import torch

    if setting != "auto":
        return setting
    return "cuda" if torch.cuda.is_available() else "cpu"


def _choose_dtype(setting: str, device: str) -> Any:
    """bfloat16 on a GPU that has it, float16 on another, float32 on a CPU."""
    import torch

    if setting != "auto":
        return getattr(torch, setting)
    if not device.startswith("cuda"):
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _load_tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    folder, options = _source_options(path)
    return AutoTokenizer.from_pretrained(folder, **options)


def _load_model(path: Path, settings: ModelSettings, device: str, dtype: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    folder, options = _source_options(path)
    if settings.quantize == "nf4":
        options["quantization_config"] = _nf4_config(dtype)
    if settings.quantize == "nf4" or device != "cpu":  # quantized weights cannot be moved later
        require_package("accelerate", "hf")
        options["device_map"] = {"": device}
    if not path.is_dir():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)
    model_class = _model_class(AutoConfig.from_pretrained(folder, **_source_options(path)[1]))
    return model_class.from_pretrained(folder, dtype=dtype, use_safetensors=True, **options)


def _model_class(config: Any) -> Any:
    """The class that loads a model: for models of text and images that of both."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    kind = type(config)
    for_both = kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    only_both = for_both and kind not in MODEL_FOR_CAUSAL_LM_MAPPING
    return AutoModelForImageTextToText if only_both else AutoModelForCausalLM


def _source_options(path: Path) -> tuple[str, dict[str, Any]]:
    """Folder and options of `from_pretrained` for a folder or a GGUF file."""
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if path.is_dir():
        return str(path), options
    require_package("gguf", "hf")
    return str(path.parent), {**options, "gguf_file": path.name}


def _nf4_config(dtype: Any) -> Any:
    """4-bit NF4 with double quantisation (Dettmers et al. 2023, QLoRA)."""
    from transformers import BitsAndBytesConfig

    require_package("bitsandbytes", "hf")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


@contextmanager
def _silence_transformers() -> Iterator[None]:
    """Suppresses progress bars and advice of transformers.

    The bar for GGUF files cannot be switched off: output to stderr is dropped meanwhile.
    """
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _explain_failures(path: Path) -> Iterator[None]:
    """Turns exceptions of transformers into a ModelError of one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise _cannot_load(path) from error
    except (ImportError, RuntimeError) as error:
        raise _cannot_load(path) from error


def _cannot_load(path: Path) -> ModelError:
    return ModelError(
        f"{os.fspath(path)}: transformers cannot load this model",
        hint="it needs weights, config.json and a tokenizer of an architecture that writes text "
        "(…ForCausalLM) and that this transformers knows",
    )
