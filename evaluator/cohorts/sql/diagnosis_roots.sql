-- Each root once per stay; `sort_key` orders them by the first code.
CREATE TABLE diagnosis_roots AS
SELECT
    row, root,
    any_value(title) AS title,
    min((coalesce(discharge, '1000-01-01'), position)) AS sort_key
FROM coded
JOIN roots ON roots.code = coded.code AND roots.version = coded.version
WHERE root IS NOT NULL
GROUP BY row, root;
