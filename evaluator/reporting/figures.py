"""How all plots are opened, styled and written; the same data gives the same bytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError
from patientdx.formats import atomic_writer

from .text_table import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
_METADATA: Mapping[str, dict[str, None]] = MappingProxyType(
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


def wrap_title(title: str, width: int = 56) -> str:
    """A title in lines that fit a panel."""
    return fill(one_line(title), width)


def open_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches, made without pyplot, which would keep it and need a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_figure(draw: "Callable[[], Figure]", paths: Sequence[Path | str]) -> None:
    """Draws a figure in our style and writes it to each path, atomically, as its suffix says.

    Raises EvaluationError for another suffix, ExtraMissingError without matplotlib.
    """
    formats = [plot_format(path) for path in paths]
    require_package("matplotlib", "report")
    with _figure_style():
        figure = draw()
        for path, form in zip(paths, formats, strict=True):
            with atomic_writer(path, "wb") as out:
                figure.savefig(out, format=form, metadata=_METADATA[form])


@contextmanager
def _figure_style() -> Iterator[None]:
    """Matplotlib's defaults with our style instead of the user's settings, which are restored."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        parameters: Any = mpl.rcParams  # its type lists every key of one version
        parameters.update(_STYLE)
        yield
