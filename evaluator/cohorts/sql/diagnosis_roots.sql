-- Each root once a stay, in the order of its first code.
CREATE TABLE diagnosis_roots AS
SELECT row, root, any_value(title) AS title, min((coalesce(discharge, '1000-01-01'), position)) AS place
FROM coded
JOIN roots ON roots.code = coded.code AND roots.version = coded.version
WHERE root IS NOT NULL
GROUP BY row, root;
