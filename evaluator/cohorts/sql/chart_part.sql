-- One part of the quantities: repeats, minority units, outliers and rows outside the window are
-- dropped; the rest becomes the mean of each bin.
CREATE OR REPLACE TABLE part AS
SELECT row, item, seconds, value, unit
FROM chart_rows
WHERE drop_reason IS NULL AND item % getvariable('parts') = getvariable('part')
GROUP BY ALL;

CREATE OR REPLACE TABLE units AS
WITH counts AS (SELECT item, unit, count(*) AS n FROM part GROUP BY ALL)
SELECT item, arg_max(unit, (n, unit)) AS unit
FROM counts
GROUP BY item
HAVING count(*) > 1 AND max(n) / sum(n) > getvariable('unit_share');

CREATE OR REPLACE TABLE limits AS
SELECT
    part.item,
    quantile_cont(value, getvariable('low_quantile')) AS low,
    quantile_cont(value, getvariable('high_quantile')) AS high
FROM part
LEFT JOIN units ON units.item = part.item
WHERE units.unit IS NULL OR units.unit = part.unit
GROUP BY part.item;

CREATE OR REPLACE TABLE part_classified AS
SELECT
    part.row,
    part.item,
    seconds,
    value,
    CASE
        WHEN units.unit <> part.unit THEN 'is in a minority unit'
        WHEN value > high OR value < low THEN 'is an outlier'
        WHEN NOT chosen THEN 'belongs to a stay that is too short'
        WHEN seconds < 0 OR seconds // 3600 >= hours THEN 'lies outside its stay'
        WHEN seconds >= 3600 * getvariable('window_hours') THEN 'lies after the window'
    END AS drop_reason
FROM part
JOIN stays ON stays.row = part.row
LEFT JOIN units ON units.item = part.item
LEFT JOIN limits ON limits.item = part.item;

INSERT INTO chart_drops
SELECT 'is repeated', count(*) - (SELECT count(*) FROM part)
FROM chart_rows
WHERE drop_reason IS NULL AND item % getvariable('parts') = getvariable('part')
UNION ALL
SELECT drop_reason, count(*) FROM part_classified GROUP BY drop_reason;

INSERT INTO chart_bins
SELECT row, item, seconds // (3600 * getvariable('bin_hours')) AS bin, favg(value) AS value
FROM part_classified
WHERE drop_reason IS NULL
GROUP BY ALL;
