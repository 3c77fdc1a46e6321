-- Means over all bins of the window, 0 where nothing runs. A bin has the mean of the orders that
-- start in it; it is carried forward until the next order starts or the mean end time is reached.
CREATE TABLE medication_means AS
WITH
orders AS (
    SELECT
        row, item, order_id,
        first // getvariable('bin_hours') AS bin,
        max(last) / getvariable('bin_hours') AS last,
        favg(CASE getvariable('medication') WHEN 'rate' THEN rate ELSE amount END) AS value
    FROM medication_rows
    WHERE drop_reason IS NULL
    GROUP BY ALL
),
starts AS (
    SELECT row, item, bin, favg(last) AS last, favg(value) AS value FROM orders GROUP BY ALL
),
runs AS (
    SELECT
        row, item, value,
        greatest(
            0,
            least(
                lead(bin, 1, getvariable('bins')) OVER (PARTITION BY row, item ORDER BY bin),
                ceil(last)
            ) - bin
        ) AS weight
    FROM starts
)
SELECT row, item, fsum(value * weight) / getvariable('bins') AS mean
FROM runs
GROUP BY row, item;
