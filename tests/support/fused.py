"""What torch does on this processor."""

import pytest


def torch_fuses() -> bool:
    """Whether torch has its kernels for AVX2 or better, which fuse; its plain ones do not."""
    torch = pytest.importorskip("torch", reason="needs the extra merge")
    return str(torch.backends.cpu.get_cpu_capability()) in {"AVX2", "AVX512"}
