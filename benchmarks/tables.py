"""Results as Markdown."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from agreement import Agreement
from rows import Analysis, Row

TITLES = {
    "whole@1000": "whole note, top {deep}",
    "whole@10": "whole note, top 10",
    "short@1000": "short query, top {deep}",
    "short@10": "short query, top 10",
}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is left-aligned, the others right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ms(row: Row | None, key: str) -> float | None:
    """Median milliseconds a query, or None where there was no such pass."""
    spent = row.seconds.get(key) if row else None
    return median(spent) / row.asked[key] * 1e3 if row and spent else None


def speed(analysis: Analysis, size: int) -> str:
    """Queries a second, milliseconds a query, and how many times faster ours is."""
    head = ["engine", *(title.format(deep=min(1000, size)) for title in TITLES.values())]
    head += [f"whole note, top {min(1000, size)}, from its text"]
    head += [f"batch of {analysis.asked['batch']:,}, one thread", "two"]
    ours = _ours(analysis)
    return markdown(head, (_speed_row(row, ours) for row in analysis.rows))


def _speed_row(row: Row, ours: Row | None) -> list[str]:
    if not row.seconds:
        return [row.name, row.error or "nothing measured", *[""] * (len(TITLES) + 2)]
    return [
        str(row.facts["title"]) + (" (failed later)" if row.error else ""),
        *(_cell(ms(row, key), ms(ours, key)) for key in TITLES),
        _cell(from_text(row), from_text(ours)),
        _batch_cell(row, ours),
        _cell(ms(row, "batch2"), ms(ours, "batch2")),
    ]


def from_text(row: Row | None) -> float | None:
    """Milliseconds to split a whole note into words, to make a query of it and to search."""
    search = ms(row, "whole@1000")
    return search + row.prepare_ms["whole"] if row and search is not None else None


def _cell(own: float | None, ours: float | None) -> str:
    if own is None:
        return "-"
    cell = f"{1e3 / own:,.0f}/s ({own:.2f} ms)"
    return cell if ours is None or ours == own else f"{cell}, ours {own / ours:.2f}x"


def _batch_cell(row: Row, ours: Row | None) -> str:
    """Engines without a batch call are compared by their single calls."""
    together = ms(row, "batch")
    if together is not None:
        return _cell(together, ms(ours, "batch"))
    alone, batch = ms(row, "whole@1000"), ms(ours, "batch")
    return f"no batches; ours {alone / batch:.2f}x its single calls" if alone and batch else "-"


def agreement(analysis: Analysis) -> str:
    """How the rankings compare with the exact ones, and what is needed of memory and disk."""
    head = ["engine", "checked", "identical", "top 10 same up to ties", "overlap@10"]
    head += ["overlap@1000", "worst score error", "peak memory", "on disk"]
    return markdown(head, (_agreement_row(row) for row in analysis.rows if row.agreement))


def _agreement_row(row: Row) -> list[str]:
    exact = bool(row.facts["exact"])
    return [
        str(row.facts["title"]),
        "+".join(str(part.queries) for part in row.agreement.values()),
        _both(row, lambda part: f"{part.identical:.0%}"),
        _both(row, lambda part: f"{part.top10:.0%}") if exact else "lengths in a byte",
        _both(row, lambda part: f"{part.overlap10:.4f}"),
        _both(row, lambda part: f"{part.overlap1000:.4f}"),
        _both(row, lambda part: f"{part.worst:.0e}") if exact else "-",
        ", ".join(f"{mb:,.0f} MiB {label}".strip() for label, mb in row.peak_mb.items()) or "-",
        f"{row.disk_mb:,.0f} MiB" if row.disk_mb else "-",
    ]


def _both(row: Row, show: Callable[[Agreement], str]) -> str:
    """Whole notes and short queries."""
    return " / ".join(show(part) for part in row.agreement.values())


def remarks(analysis: Analysis) -> list[str]:
    """Sentences on the corpus, the floor, the batch and the choices made."""
    corpus, asked = analysis.corpus, analysis.asked
    return [
        f"{corpus['notes']:,} notes, {corpus['tokens']:,} tokens, {corpus['terms']:,} terms.",
        (
            f"{asked['whole']} whole notes, {asked['short']} short queries, a batch of "
            f"{asked['batch']:,} whole notes; queries without a known term are left out."
        ),
        "From its text: splitting into words, making a query (once, with cold caches), searching.",
        *_floor(analysis),
        *_ours_remarks(_ours(analysis)),
        *(
            f"{row.facts['title']}: {row.facts['choice']}.{_variants(row)}"
            for row in analysis.rows
            if row.facts
        ),
        *(f"{row.name}: {row.error}." for row in analysis.rows if row.error),
    ]


def _floor(analysis: Analysis) -> list[str]:
    touched, speed = analysis.touched["batch"], analysis.bandwidth
    floor = 4 * touched / speed * 1e3
    lines = [
        (
            f"Floor: {touched:,.0f} postings a whole note x 4 bytes / {speed / 1e9:.1f} GB/s that "
            f"one core reads = {floor:.3f} ms."
        )
    ]
    batch = ms(_ours(analysis), "batch")
    if batch is not None:
        lines.append(f"Our batch takes {batch:.3f} ms a query, {batch / floor:.2f}x the floor.")
    return lines


def _ours_remarks(ours: Row | None) -> list[str]:
    if ours is None or ours.differing is None:
        return []
    lines = [f"Rankings in our batch that differ from those of single calls: {ours.differing}."]
    one_thread, two_threads = ms(ours, "batch"), ms(ours, "batch2")
    if one_thread and two_threads:
        ratio = one_thread / two_threads
        lines.append(f"Two threads make our batch {ratio:.2f}x as fast as one.")
    return lines


def _variants(row: Row) -> str:
    chosen = {key: variant for key, variant in row.variants.items() if variant}
    if len(row.facts["variants"]) < 2 or not chosen:
        return ""
    return " Fastest: " + ", ".join(f"{key} {variant}" for key, variant in chosen.items()) + "."


def _ours(analysis: Analysis) -> Row | None:
    return next((row for row in analysis.rows if row.name == "ours"), None)
