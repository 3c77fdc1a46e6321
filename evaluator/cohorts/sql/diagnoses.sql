-- Codes of each chosen stay: those of its own admission, or of the patient's earlier ones that
-- had been closed when the stay began.
CREATE TABLE coded AS
WITH
parsed AS (
    SELECT
        key_of(hadm_id) AS hadm,
        TRY_CAST(position AS INTEGER) AS position,
        upper(replace(trim(code), '.', '')) AS code,
        trim(version) AS version
    FROM raw_diagnoses
)
SELECT stays.row, NULL::TIMESTAMP AS discharge, position, code, version
FROM stays
JOIN parsed ON parsed.hadm = stays.hadm
WHERE chosen AND getvariable('diagnoses') = 'all'
UNION ALL
SELECT stays.row, admissions.discharge, position, code, version
FROM stays
JOIN admissions ON admissions.subject = stays.subject AND admissions.discharge <= stays.start
JOIN parsed ON parsed.hadm = admissions.hadm
WHERE chosen AND getvariable('diagnoses') = 'prior';

CREATE TABLE roots (code VARCHAR, version VARCHAR, root VARCHAR, title VARCHAR);
