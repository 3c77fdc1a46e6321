"""The style and file formats of all plots; the same data gives the same bytes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType
from typing import Any

from patientdx.errors import EvaluationError

from .text_table import one_line

PLOT_FORMATS = ("png", "svg")

_STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.constrained_layout.h_pad": 0.1,
        "savefig.dpi": 160,
        "svg.fonttype": "none",  # text stays text: small, searchable, editable
        "svg.hashsalt": "patientdx",  # the same figure gets the same ids
    }
)

# Without a date and a version the same figure gives the same bytes.
PLOT_METADATA: Mapping[str, dict[str, None]] = MappingProxyType(
    {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
)


def plot_format(path: Path | str) -> str:
    """The format of a path's suffix, one of `PLOT_FORMATS`. Raises EvaluationError for others."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PLOT_FORMATS:
        raise EvaluationError(
            f"{path}: plots are written as {' or '.join(PLOT_FORMATS)}",
            hint="give the file a name such as differences.png",
        )
    return suffix


def wrapped(title: str, width: int = 56) -> str:
    """A title in lines that fit a panel."""
    return "\n".join(wrap(one_line(title), width))


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's defaults with our style instead of the user's settings, which are restored."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        parameters: Any = mpl.rcParams  # its type lists every key of one version
        parameters.update(_STYLE)
        yield
