-- Chart rows of adults' stays as numbers; what is dropped keeps its reason and nothing else.
CREATE TABLE chart_rows AS
WITH
read AS (
    SELECT
        TRY_CAST(stay_id AS BIGINT) AS stay,
        TRY_CAST(item AS INTEGER) AS item,
        time_of(time) AS time,
        zoned(time) AS zoned,
        number_of(value) AS value,
        value IS NOT NULL AS written,
        coalesce(unit, '') AS unit,
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
