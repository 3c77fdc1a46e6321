"""A synthetic MIMIC-IV: invented stays and events with the shape of the real tables.

Lengths of stay are log-normal (median 46 h), quantities follow a Zipf law over 400 items, more
than half of the chart rows hold text only, as in the real table. Everything comes out of hashes of
row numbers: equal sizes give equal files.
"""

from pathlib import Path
from typing import Any

ROWS_A_STAY = 1430  # 100 million chart rows for 70,000 stays

MACROS = """
CREATE MACRO uniform(n, salt) AS (hash(n, salt) >> 11) / 9007199254740992.0;
CREATE MACRO normal(n, salt) AS
    sqrt(-2 * ln(1 - uniform(n, salt))) * cos(2 * pi() * uniform(n, salt + 100));
"""

STAYS = """
CREATE TABLE made AS
SELECT
    n::BIGINT AS n,
    10000000 + n // 2 AS subject_id,
    20000000 + n AS hadm_id,
    30000000 + n AS stay_id,
    TIMESTAMP '2130-01-01' + to_minutes((uniform(n, 1) * 40000000)::BIGINT) AS intime,
    greatest(1.0, exp(ln(46) + 0.85 * normal(n, 2))) AS hours,
    uniform(n, 3) < 0.11 AS dies
FROM range($stays) AS t(n);
"""

TABLES = {
    "icu/icustays": """
SELECT subject_id, hadm_id, stay_id, 'Medical ICU' AS first_careunit,
    'Medical ICU' AS last_careunit, intime, intime + to_minutes((hours * 60)::BIGINT) AS outtime,
    hours / 24 AS los
FROM made""",
    "hosp/patients": """
SELECT subject_id, CASE WHEN hash(subject_id) % 2 = 0 THEN 'F' ELSE 'M' END AS gender,
    15 + hash(subject_id, 1) % 77 AS anchor_age, 2130 AS anchor_year,
    '2011 - 2013' AS anchor_year_group,
    max(CASE WHEN dies THEN (intime + to_minutes((hours * 60)::BIGINT))::DATE END) AS dod
FROM made GROUP BY subject_id""",
    "hosp/admissions": """
SELECT subject_id, hadm_id, intime - INTERVAL 5 HOUR AS admittime,
    intime + to_minutes((hours * 90)::BIGINT) AS dischtime, 'Medicare' AS insurance,
    'WHITE' AS race, dies::INTEGER AS hospital_expire_flag
FROM made""",
    "hosp/diagnoses_icd": """
SELECT subject_id, hadm_id, k AS seq_num,
    chr((65 + hash(n, k) % 20)::INTEGER) || lpad((hash(n, k, 1) % 100)::VARCHAR, 2, '0') || '1'
        AS icd_code,
    10 AS icd_version
FROM made, range(1, 13) AS s(k)""",
    "hosp/d_icd_diagnoses": """
SELECT chr((65 + k // 100)::INTEGER) || lpad((k % 100)::VARCHAR, 2, '0') AS icd_code,
    10 AS icd_version, 'Family ' || k AS long_title
FROM range(2000) AS s(k)""",
    "icu/d_items": """
SELECT 220000 + k AS itemid, 'Quantity ' || k AS label, 'chartevents' AS linksto
FROM range(1, 1001) AS s(k)""",
    "icu/inputevents": """
SELECT subject_id, hadm_id, stay_id,
    intime + to_minutes((uniform(n, 1000 + k) * hours * 60)::BIGINT) AS starttime,
    intime + to_minutes((uniform(n, 1000 + k) * hours * 60 + 500 * uniform(n, 2000 + k))::BIGINT)
        AS endtime,
    220500 + hash(n, k) % 40 AS itemid,
    round(100 * uniform(n, 3000 + k), 3) AS amount, 'ml' AS amountuom,
    CASE WHEN hash(n, k, 2) % 3 > 0 THEN round(10 * uniform(n, 4000 + k), 3) END AS rate,
    n * 1000 + k AS orderid
FROM made, range((hours * 1.2)::BIGINT) AS s(k)""",
    "icu/procedureevents": """
SELECT subject_id, hadm_id, stay_id,
    intime + to_minutes((uniform(n, 5000 + k) * hours * 60)::BIGINT) AS starttime,
    220600 + hash(n, k) % 60 AS itemid, 1 AS value
FROM made, range((hours * 0.12)::BIGINT) AS s(k)""",
    "icu/outputevents": """
SELECT subject_id, hadm_id, stay_id,
    intime + to_minutes((uniform(n, 6000 + k) * hours * 60)::BIGINT) AS charttime,
    220700 + hash(n, k) % 20 AS itemid, 100 AS value
FROM made, range((hours * 0.7)::BIGINT) AS s(k)""",
    "icu/chartevents": """
WITH
rate AS (SELECT $rows * count(*) / sum(hours) AS rate FROM made),
drawn AS (
    SELECT
        subject_id, hadm_id, stay_id, n * 1000000 + k AS row,
        intime + to_minutes((uniform(n, 7000 + k) * hours * 60)::BIGINT) AS charttime,
        floor(exp(uniform(n * 1000000 + k, 7) * ln(400)))::BIGINT AS item
    FROM made, rate, range((hours * rate)::BIGINT) AS s(k)
),
measured AS (
    SELECT *, CASE WHEN hash(row, 8) % 100 < 42
        THEN round(10 + item + item / 4 * normal(row, 9), 1) END AS valuenum
    FROM drawn
)
SELECT
    subject_id, hadm_id, stay_id, 10000 + hash(row, 10) % 15000 AS caregiver_id, charttime,
    charttime + INTERVAL 3 MINUTE AS storetime, 220000 + item AS itemid,
    coalesce(valuenum::VARCHAR, 'As charted') AS value, valuenum,
    CASE WHEN item % 5 = 0 THEN NULL WHEN hash(row, 11) % 200 = 0 THEN 'other'
        ELSE 'unit' || item % 7 END AS valueuom,
    0 AS warning
FROM measured""",
}


def make(folder: Path, stays: int, *, packing: str = "csv.gz", rows: int = ROWS_A_STAY) -> None:
    """Writes the tables of `stays` invented stays, unless they are there."""
    import duckdb

    done = folder / "complete"
    if done.exists():
        return
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
        connection.execute(MACROS)
        connection.execute(STAYS, {"stays": stays})
        for name, query in TABLES.items():
            path = folder / f"{name}.{packing}"
            path.parent.mkdir(parents=True, exist_ok=True)
            values: dict[str, Any] = {"rows": rows} if "$rows" in query else {}
            text = query.replace("$rows", str(rows)) if values else query
            gzip = ", COMPRESSION gzip" if packing.endswith("gz") else ""
            connection.execute(f"COPY ({text}) TO '{path}' (FORMAT csv, HEADER{gzip})")
    done.touch()
