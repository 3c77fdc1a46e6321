"""Labels of points in a figure, each at the free side of its point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in pixels."""

_SIDES = (
    (5, 4, "left", "bottom"),
    (-5, 4, "right", "bottom"),
    (5, -4, "left", "top"),
    (-5, -4, "right", "top"),
    (0, 7, "center", "bottom"),
    (0, -7, "center", "top"),
    (16, 10, "left", "bottom"),
    (-16, 10, "right", "bottom"),
    (16, -10, "left", "top"),
    (-16, -10, "right", "top"),
    (12, 24, "center", "bottom"),
    (12, -24, "center", "top"),
    (26, 0, "left", "center"),
    (-26, 0, "right", "center"),
)
"""Offsets in points and alignments, the preferred ones first."""

_LEADER = {"arrowstyle": "-", "linewidth": 0.5, "color": "#888888", "shrinkA": 0, "shrinkB": 2}
"""The line from a label to its point, where the label is not beside it."""

_MARKER = 4.0
"""Half the side of the square that a marker covers, in pixels."""


def label_points(
    axes: "Axes", points: Sequence[tuple[float, float]], labels: Sequence[str], size: float = 7
) -> None:
    """Writes a label beside each point, where it covers the fewest points and other labels.

    Call it after everything else is drawn and the limits of the axes are final.
    """
    from matplotlib.text import Text

    figure: Any = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    pixels = [axes.transData.transform(point) for point in points]
    boxes = [(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in pixels]
    frame = _extents(axes.bbox)
    for point, label in zip(points, labels, strict=True):
        trials: list[tuple[float, int, Any, Box]] = []
        for x, y, horizontal, vertical in _SIDES:
            text = axes.annotate(
                label,
                point,
                xytext=(x, y),
                textcoords="offset points",
                horizontalalignment=horizontal,
                verticalalignment=vertical,
                fontsize=size,
                arrowprops=_LEADER if abs(x) > 10 else None,
                parse_math=False,
            )
            text.update_positions(renderer)
            # That of the annotation would include its leader.
            box = _extents(Text.get_window_extent(text, renderer))
            overlap = sum(_overlap(box, other) for other in boxes) + _outside(box, frame)
            trials.append((overlap, len(trials), text, box))
        best = min(trials, key=lambda trial: trial[:2])
        for trial in trials:
            if trial is not best:
                trial[2].remove()
        boxes.append(best[3])


def _extents(bounds: Any) -> Box:
    return (bounds.x0, bounds.y0, bounds.x1, bounds.y1)


def _overlap(ours: Box, theirs: Box) -> float:
    width = min(ours[2], theirs[2]) - max(ours[0], theirs[0])
    height = min(ours[3], theirs[3]) - max(ours[1], theirs[1])
    return max(0.0, width) * max(0.0, height)


def _outside(box: Box, frame: Box) -> float:
    """The area of a box outside a frame, which counts as much as a covered label."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)
