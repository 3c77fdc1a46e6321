"""Random events of many stays, against the arithmetic written out in plain Python."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random

import mimic_oracle
import pytest
import small_mimic
from small_mimic import ARRIVAL

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from evaluator.cohorts import Cohort, read_cohort
from evaluator.cohorts.builder import build_cohort
from evaluator.cohorts.database import DatabaseOptions
from evaluator.cohorts.sources.mimic import MimicReader

STAYS, ITEMS, HOURS = range(1, 9), (9, 5, 31), 60


def time(seconds: int) -> str:
    return str(ARRIVAL + timedelta(seconds=seconds))


def charts(random: Random) -> list[mimic_oracle.Chart]:
    """Rows with repeats, ties, outliers, two units, and times outside the window and the stay."""
    rows = [
        (
            random.choice(STAYS),
            random.randrange(-9_000, HOURS * 3600 + 9_000, random.choice((60, 1800))),
            random.choice(ITEMS),
            round(random.gauss(80, 20), random.choice((0, 1))),
            random.choice(("a",) * 40 + ("b",)),
        )
        for _ in range(900)
    ]
    return rows + random.sample(rows, 90)


def infusions(random: Random) -> list[mimic_oracle.Infusion]:
    rows = []
    for order in range(200):
        start = random.randrange(-9_000, HOURS * 3600)
        end = start + random.randrange(0, 40_000)
        rows.append(
            (random.choice(STAYS), start, end, random.choice((7, 8)), order // 2, order + 1.5)
        )
    return rows


def build(
    tmp_path: Path, seed: int
) -> tuple[Cohort, list[mimic_oracle.Chart], list[mimic_oracle.Infusion]]:
    random = Random(seed)
    chart_rows, infusion_rows = charts(random), infusions(random)
    heads = {name: head for name, (head, _) in small_mimic.tables().items()}
    change: dict[str, tuple[str, Sequence[Sequence[object]]] | None] = {
        "icu/icustays": (
            heads["icu/icustays"],
            [(stay, stay, stay, "ICU", time(0), time(HOURS * 3600)) for stay in STAYS],
        ),
        "hosp/patients": (heads["hosp/patients"], [(stay, "F", 40, "") for stay in STAYS]),
        "hosp/admissions": (heads["hosp/admissions"], [(s, s, time(0), "", "") for s in STAYS]),
        "icu/d_items": (heads["icu/d_items"], [(item, f"i{item}") for item in (*ITEMS, 7, 8)]),
        "icu/chartevents": (
            heads["icu/chartevents"],
            [(stay, time(at), item, value, unit) for stay, at, item, value, unit in chart_rows],
        ),
        "icu/inputevents": (
            heads["icu/inputevents"],
            [
                (stay, time(a), time(b), item, order, n, 1)
                for stay, a, b, item, order, n in infusion_rows
            ],
        ),
    }
    folder, into = small_mimic.mimic_iv(tmp_path / "m", change=change), tmp_path / "c.parquet"
    icd = small_mimic.icd_map(tmp_path)
    reader = MimicReader("mimic-iv", folder, icd)
    build_cohort(reader, into, database_options=DatabaseOptions(rows_per_part=200))
    return read_cohort(into), chart_rows, infusion_rows


@pytest.mark.parametrize("seed", range(4))
def test_every_mean_of_random_stays(tmp_path: Path, seed: int) -> None:
    cohort, chart_rows, infusion_rows = build(tmp_path, seed)
    expected = mimic_oracle.chart_bins(chart_rows, 98, 0.95)
    running = mimic_oracle.infusions(infusion_rows, HOURS)
    assert len(cohort) == len(STAYS)
    compared = 0
    for stay in cohort:
        number = int(stay.stay_id)
        items = [item for item in sorted(ITEMS) if (number, item) in expected]
        assert [chart.name for chart in stay.charts] == [f"i{item}" for item in items]
        for item, chart in zip(items, stay.charts, strict=True):
            bins = mimic_oracle.filled(expected[number, item])
            assert chart.mean == pytest.approx(sum(bins) / 24, rel=1e-12)
            compared += 1
        for medication in stay.medications:
            series = running[number, int(medication.name.removeprefix("i"))]
            assert medication.mean == pytest.approx(sum(series) / 24, rel=1e-12)
        assert len(stay.medications) == sum(key[0] == number for key in running)
    assert compared == len(expected) > len(STAYS)
