"""The same steps in pandas, as a peer: vectorised, all tables in memory."""

from pathlib import Path
from typing import Any

import pandas as pd

WINDOW, GAP, BIN, BINS = 48, 6, 2, 24
TIMES = "%Y-%m-%d %H:%M:%S"


def cohort(folder: Path) -> dict[str, Any]:
    """Outcomes, means and sections of each stay of the cohort, by stay."""
    adults = _adults(folder)
    chosen = adults[adults.hours >= WINDOW + GAP]
    return {
        "died": dict(zip(chosen.stay_id.tolist(), chosen.died.tolist(), strict=True)),
        "charts": _charts(folder, adults, set(chosen.stay_id)),
        "medications": _medications(folder, chosen),
        "procedures": _present(folder, "procedureevents", "starttime", chosen),
        "outputs": _present(folder, "outputevents", "charttime", chosen),
    }


def _read(folder: Path, name: str, columns: list[str]) -> pd.DataFrame:
    (path,) = folder.glob(f"*/{name}.csv*")
    return pd.read_csv(path, usecols=columns)


def _times(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return pd.to_datetime(column, format=TIMES)


def _adults(folder: Path) -> pd.DataFrame:
    stays = _read(folder, "icustays", ["subject_id", "hadm_id", "stay_id", "intime", "outtime"])
    people = _read(folder, "patients", ["subject_id", "anchor_age", "dod"])
    visits = _read(folder, "admissions", ["hadm_id"])
    table = stays.merge(people, on="subject_id").merge(visits, on="hadm_id")
    table = table[table.anchor_age >= 18].copy()
    table["intime"], table["outtime"] = _times(table.intime), _times(table.outtime)
    dod = pd.to_datetime(table.dod, format="%Y-%m-%d")
    table["died"] = (dod >= table.intime) & (dod <= table.outtime)
    table["hours"] = (table.outtime - table.intime).dt.total_seconds() // 3600
    return table


def _hours(events: pd.DataFrame, stays: pd.DataFrame, time: str) -> pd.DataFrame:
    joined = events.merge(stays[["stay_id", "intime", "hours"]], on="stay_id")
    passed = (_times(joined[time]) - joined.intime).dt.total_seconds()
    joined["hour"] = passed // 3600
    return joined


def _charts(folder: Path, adults: pd.DataFrame, chosen: set[int]) -> dict[tuple[int, int], float]:
    columns = ["stay_id", "charttime", "itemid", "valuenum", "valueuom"]
    rows = _read(folder, "chartevents", columns).dropna(subset=["valuenum"])
    rows["valueuom"] = rows.valueuom.fillna("")
    rows = rows[rows.stay_id.isin(adults.stay_id)].drop_duplicates()
    rows = rows[_in_main_unit(rows)]
    limits = rows.groupby("itemid").valuenum.quantile(0.98)
    rows = rows[rows.valuenum <= rows.itemid.map(limits)]
    rows = _hours(rows[rows.stay_id.isin(chosen)], adults, "charttime")
    rows = rows[(rows.hour >= 0) & (rows.hour < WINDOW) & (rows.hour < rows.hours)]
    keys = [rows.stay_id, rows.itemid, (rows.hour // BIN).astype(int)]
    bins = _in_bins(rows.groupby(keys).valuenum.mean())
    means = bins.ffill(axis=1).bfill(axis=1).mean(axis=1)
    return dict(zip(means.index.tolist(), means.tolist(), strict=True))


def _in_bins(column: "pd.Series[Any]") -> pd.DataFrame:
    """The last level of the index as columns, one a bin."""
    return column.unstack().reindex(columns=range(BINS))  # noqa: PD010 - it is a Series


def _in_main_unit(rows: pd.DataFrame) -> Any:
    counts = rows.groupby(["itemid", "valueuom"]).size()
    share = counts / counts.groupby("itemid").transform("sum")
    main = share[share > 0.95].reset_index(level="valueuom").valueuom
    wanted = rows.itemid.map(main)
    return wanted.isna() | (wanted == rows.valueuom)


def _medications(folder: Path, chosen: pd.DataFrame) -> dict[tuple[int, int], float]:
    columns = ["stay_id", "starttime", "endtime", "itemid", "orderid", "amount", "rate"]
    rows = _read(folder, "inputevents", columns).dropna()
    rows = _hours(rows, chosen, "starttime").rename(columns={"hour": "first"})
    rows["last"] = (_times(rows.endtime) - rows.intime).dt.total_seconds() // 3600
    rows = rows[(rows["last"] > rows["first"]) & (rows["first"] >= 0)]
    rows = rows[(rows["first"] < WINDOW) & (rows["first"] < rows.hours)]
    rows["last"] = rows[["last", "hours"]].min(axis=1).clip(upper=WINDOW) / BIN
    rows["bin"] = (rows["first"] // BIN).astype(int)
    orders = rows.groupby(["stay_id", "itemid", "orderid", "bin"])
    begun = (
        orders.agg({"last": "max", "amount": "mean"}).groupby(["stay_id", "itemid", "bin"]).mean()
    )
    ends = _in_bins(begun["last"]).ffill(axis=1)
    amounts = _in_bins(begun["amount"]).ffill(axis=1)
    means = amounts.where(ends.sub(range(BINS)) > 0, 0.0).mean(axis=1)
    return dict(zip(means.index.tolist(), means.tolist(), strict=True))


def _present(folder: Path, name: str, time: str, chosen: pd.DataFrame) -> set[tuple[int, int]]:
    rows = _hours(_read(folder, name, ["stay_id", time, "itemid"]), chosen, time)
    rows = rows[(rows.hour >= 0) & (rows.hour < WINDOW) & (rows.hour < rows.hours)]
    return set(zip(rows.stay_id.tolist(), rows.itemid.tolist(), strict=True))
