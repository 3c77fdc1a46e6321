-- Chart rows of adults' stays as numbers; a dropped row keeps its reason and nothing else.
-- The joins must keep the stays in memory: where DuckDB guesses the rows of a compressed file, it
-- keeps the events instead, 100 million of them.
SET disabled_optimizers = 'join_order,build_side_probe_side';

CREATE TABLE chart_rows AS
WITH
-- More than half of the rows hold text only: nothing else is computed for them.
parsed AS (
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
classified AS (
    SELECT
        stays.row,
        parsed.item,
        date_diff('second', stays.start, parsed.time) AS seconds,
        parsed.value,
        parsed.unit,
        CASE
            WHEN zoned THEN 'has a time zone'
            WHEN error = '1' THEN 'is marked as an error'
            WHEN NOT written THEN 'has no number'
            WHEN value IS NULL THEN 'has an unreadable number'
            WHEN stays.row IS NULL THEN 'belongs to no stay of an adult'
            WHEN time IS NULL OR item IS NULL THEN 'has no readable time or item'
        END AS drop_reason
    FROM parsed
    LEFT JOIN stays ON stays.stay = parsed.stay
)
SELECT
    drop_reason,
    CASE WHEN drop_reason IS NULL THEN row END AS row,
    CASE WHEN drop_reason IS NULL THEN item END AS item,
    CASE WHEN drop_reason IS NULL THEN seconds END AS seconds,
    CASE WHEN drop_reason IS NULL THEN value END AS value,
    CASE WHEN drop_reason IS NULL THEN unit END AS unit
FROM classified;

RESET disabled_optimizers;
