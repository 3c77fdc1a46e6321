-- Codes of each chosen stay: those of its own admission, or of the patient's earlier ones that
-- had been closed when the stay began.
CREATE TABLE coded AS
WITH
read AS (
    SELECT
        key_of(hadm_id) AS hadm,
        TRY_CAST(position AS INTEGER) AS position,
        upper(replace(trim(code), '.', '')) AS code,
        trim(version) AS version
    FROM raw_diagnoses
)
SELECT stays.row, NULL::TIMESTAMP AS discharge, position, code, version
FROM stays
JOIN read ON read.hadm = stays.hadm
WHERE chosen AND getvariable('diagnoses') = 'all'
UNION ALL
SELECT stays.row, visits.discharge, position, code, version
FROM stays
JOIN visits ON visits.subject = stays.subject AND visits.discharge <= stays.start
JOIN read ON read.hadm = visits.hadm
WHERE chosen AND getvariable('diagnoses') = 'prior';

CREATE TABLE roots (code VARCHAR, version VARCHAR, root VARCHAR, title VARCHAR);
