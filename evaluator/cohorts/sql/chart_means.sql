-- The mean over the imputed bins, computed from the filled ones: a filled bin is weighted by the
-- number of bins that it is carried forward to (and, the first one, backward).
CREATE TABLE sorted_bins AS SELECT * FROM chart_bins ORDER BY row, item, bin;
DROP TABLE chart_bins;

CREATE TABLE chart_means AS
WITH
runs AS (
    SELECT
        row, item, bin, value,
        lead(bin, 1, getvariable('bins')) OVER run - bin AS forward,
        CASE WHEN row_number() OVER run = 1 THEN bin ELSE 0 END AS backward
    FROM sorted_bins
    WINDOW run AS (PARTITION BY row, item ORDER BY bin)
),
weighted AS (
    SELECT
        row, item, value,
        CASE getvariable('imputation')
            WHEN 'forward-backward' THEN forward + backward
            WHEN 'forward-mean' THEN forward
            ELSE 1
        END AS weight
    FROM runs
)
SELECT
    row, item,
    fsum(value * weight) / sum(weight) AS mean,
    (row_number() OVER (PARTITION BY row ORDER BY item) - 1)::INTEGER AS chart
FROM weighted
GROUP BY row, item;
