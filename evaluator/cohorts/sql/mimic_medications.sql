-- Infusions: incomplete rows (so all without a rate) are dropped; hours are whole hours.
-- The joins must keep the stays in memory: where DuckDB guesses the rows of a compressed file, it
-- keeps the events instead, 100 million of them.
SET disabled_optimizers = 'join_order,build_side_probe_side';

CREATE TABLE medication_rows AS
WITH
parsed AS (
    SELECT
        key_of(stay_id) AS stay,
        TRY_CAST(item AS INTEGER) AS item,
        order_id,
        time_of(start) AS start,
        time_of(finish) AS finish,
        zoned(start) OR zoned(finish) AS zoned,
        number_of(amount) AS amount,
        number_of(rate) AS rate
    FROM raw_medications
),
timed AS (
    SELECT
        stays.row, chosen, item, order_id, amount, rate, zoned, hours,
        floor(date_diff('second', stays.start, parsed.start) / 3600)::BIGINT AS first,
        floor(date_diff('second', stays.start, parsed.finish) / 3600)::BIGINT AS last
    FROM parsed
    LEFT JOIN stays ON stays.stay = parsed.stay
)
SELECT
    row, item, order_id, amount, rate, first,
    least(last, hours, getvariable('window_hours')) AS last,
    CASE
        WHEN zoned THEN 'has a time zone'
        WHEN row IS NULL THEN 'belongs to no stay of an adult'
        WHEN NOT chosen THEN 'belongs to a stay that is too short'
        WHEN item IS NULL OR order_id IS NULL OR amount IS NULL OR rate IS NULL
            OR first IS NULL OR last IS NULL THEN 'lacks item, order, time, amount or rate'
        WHEN last <= first THEN 'ends within the hour it begins in'
        WHEN first < 0 OR first >= hours THEN 'begins outside its stay'
        WHEN first >= getvariable('window_hours') THEN 'begins after the window'
    END AS drop_reason
FROM timed;

RESET disabled_optimizers;
