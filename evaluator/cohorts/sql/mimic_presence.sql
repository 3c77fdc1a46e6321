-- Procedures and output events: whether there was one in the window.
-- The joins must keep the stays in memory: where DuckDB guesses the rows of a compressed file, it
-- keeps the events instead, 100 million of them.
SET disabled_optimizers = 'join_order,build_side_probe_side';

CREATE TABLE presence_rows AS
WITH
parsed AS (
    SELECT
        'procedures' AS section,
        key_of(stay_id) AS stay,
        TRY_CAST(item AS INTEGER) AS item,
        time_of(time) AS time,
        zoned(time) AS zoned
    FROM raw_procedures
    UNION ALL
    SELECT
        'outputs', key_of(stay_id), TRY_CAST(item AS INTEGER), time_of(time), zoned(time)
    FROM raw_outputs
),
timed AS (
    SELECT
        parsed.*, stays.row, chosen, hours, date_diff('second', stays.start, parsed.time) AS seconds
    FROM parsed
    LEFT JOIN stays ON stays.stay = parsed.stay
)
SELECT
    section, row, item,
    CASE
        WHEN zoned THEN 'has a time zone'
        WHEN row IS NULL THEN 'belongs to no stay of an adult'
        WHEN NOT chosen THEN 'belongs to a stay that is too short'
        WHEN item IS NULL OR seconds IS NULL THEN 'has no readable time or item'
        WHEN seconds < 0 OR seconds // 3600 >= hours THEN 'lies outside its stay'
        WHEN seconds >= 3600 * getvariable('window_hours') THEN 'lies after the window'
    END AS drop_reason
FROM timed;

CREATE TABLE presence AS
SELECT DISTINCT section, row, item FROM presence_rows WHERE drop_reason IS NULL;

CREATE TABLE items AS
SELECT TRY_CAST(item AS INTEGER) AS item, any_value(trim(label)) AS label
FROM raw_items
WHERE TRY_CAST(item AS INTEGER) IS NOT NULL AND trim(label) <> ''
GROUP BY ALL;

RESET disabled_optimizers;
