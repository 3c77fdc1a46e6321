-- Chart rows of adults' stays as numbers; what is dropped keeps its reason and nothing else.
-- The stays are what a join keeps in memory: left to guess the rows of a packed file, DuckDB kept
-- the events instead, 100 million of them.
SET disabled_optimizers = 'join_order,build_side_probe_side';

CREATE TABLE chart_rows AS
WITH
-- More than half of the rows hold text only: nothing else is worked out for them.
read AS (
    SELECT
        value IS NOT NULL AS written,
        CASE WHEN written THEN key_of(stay_id) END AS stay,
        CASE WHEN written THEN TRY_CAST(item AS INTEGER) END AS item,
        CASE WHEN written THEN time_of(time) END AS time,
        CASE WHEN written THEN zoned(time) END AS zoned,
        CASE WHEN written THEN number_of(value) END AS value,
        CASE WHEN written THEN coalesce(unit, '') END AS unit,
        error
    FROM raw_charts
),
judged AS (
    SELECT
        stays.row,
        read.item,
        date_diff('second', stays.start, read.time) AS seconds,
        read.value,
        read.unit,
        CASE
            WHEN zoned THEN 'has a time zone'
            WHEN error = '1' THEN 'is marked as an error'
            WHEN NOT written THEN 'has no number'
            WHEN value IS NULL THEN 'has an unreadable number'
            WHEN stays.row IS NULL THEN 'belongs to no stay of an adult'
            WHEN time IS NULL OR item IS NULL THEN 'has no readable time or item'
        END AS fate
    FROM read
    LEFT JOIN stays ON stays.stay = read.stay
)
SELECT
    fate,
    CASE WHEN fate IS NULL THEN row END AS row,
    CASE WHEN fate IS NULL THEN item END AS item,
    CASE WHEN fate IS NULL THEN seconds END AS seconds,
    CASE WHEN fate IS NULL THEN value END AS value,
    CASE WHEN fate IS NULL THEN unit END AS unit
FROM judged;

RESET disabled_optimizers;
