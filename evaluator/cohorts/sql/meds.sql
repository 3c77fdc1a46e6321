-- MEDS: a stay is a row of the labels; its window ends at, and includes, the prediction time.
CREATE TABLE patients AS
SELECT
    subject_id AS subject,
    min(time) FILTER (code LIKE 'MEDS_BIRTH%') AS birth,
    min(time) FILTER (code LIKE 'MEDS_DEATH%') AS death,
    any_value(upper(left(split_part(code, '//', 2), 1)))
        FILTER (regexp_matches(code, '^(GENDER|SEX)//')) AS sex,
    any_value(split_part(code, '//', 2)) FILTER (regexp_matches(code, '^(RACE|ETHNICITY)//')) AS race
FROM raw_events
GROUP BY subject_id;

CREATE TABLE candidate_stays AS
WITH
parsed AS (
    SELECT
        subject_id AS subject,
        prediction_time AS finish,
        prediction_time - to_hours(getvariable('window_hours')) AS start,
        boolean_value AS died,
        row_number() OVER (PARTITION BY subject_id, prediction_time) AS copy,
        dense_rank() OVER (PARTITION BY subject_id ORDER BY prediction_time) AS number
    FROM raw_labels
),
joined AS (
    SELECT
        parsed.*,
        patients.subject IS NOT NULL AS known,
        sex, race, death,
        date_sub('year', birth, finish) AS age
    FROM parsed
    LEFT JOIN patients ON patients.subject = parsed.subject
)
SELECT
    *,
    CASE
        WHEN subject IS NULL THEN 'has no stay id'
        WHEN finish IS NULL THEN 'has no prediction time'
        WHEN copy > 1 THEN 'repeats the id of another stay'
        WHEN died IS NULL THEN 'has no known outcome'
        WHEN NOT known THEN 'belongs to no known patient'
        WHEN death <= finish THEN 'had ended in death before the prediction'
        WHEN age < 0 OR age > 130 THEN 'is of unknown or impossible age'
        WHEN age < getvariable('min_age') THEN 'is younger than the least age'
    END AS drop_reason
FROM joined;

CREATE TABLE units AS
SELECT candidate_stays.subject, candidate_stays.finish, arg_max(split_part(code, '//', 2), time) AS unit
FROM candidate_stays
JOIN raw_events ON raw_events.subject_id = candidate_stays.subject
WHERE drop_reason IS NULL AND code LIKE 'ICU_ADMISSION//%' AND time <= finish
GROUP BY ALL;

CREATE TABLE stays AS
SELECT
    (row_number() OVER (ORDER BY subject, finish) - 1)::INTEGER AS row,
    subject || '-' || number AS stay,
    subject, start, finish, NULL::INTEGER AS hours, died, age, sex, unit, race,
    NULL::VARCHAR AS insurance, true AS chosen
FROM candidate_stays
LEFT JOIN units USING (subject, finish)
WHERE drop_reason IS NULL;
DROP TABLE units;

CREATE TABLE code_descriptions AS
SELECT code, any_value(description) AS description
FROM raw_codes
WHERE trim(description) <> ''
GROUP BY code;

CREATE TABLE items AS
SELECT
    (row_number() OVER (ORDER BY code))::INTEGER AS item,
    code,
    coalesce(description, code) AS label,
    CASE
        WHEN regexp_matches(code, getvariable('diagnosis_codes')) THEN 'diagnoses'
        WHEN regexp_matches(code, getvariable('medication_codes')) THEN 'medications'
        WHEN regexp_matches(code, getvariable('procedure_codes')) THEN 'procedures'
        WHEN regexp_matches(code, getvariable('output_codes')) THEN 'outputs'
        WHEN regexp_matches(code, getvariable('ignored_codes')) THEN 'none'
        ELSE 'charts'
    END AS section
FROM (SELECT DISTINCT code FROM raw_events WHERE code IS NOT NULL)
LEFT JOIN code_descriptions USING (code);

-- Events up to each prediction; those before the window count as diagnoses only.
CREATE TABLE known_events AS
SELECT
    stays.row, item, section, numeric_value AS value, raw_events.time,
    least(
        date_diff('second', start, raw_events.time), 3600 * getvariable('window_hours') - 1
    ) AS seconds
FROM stays
JOIN raw_events ON raw_events.subject_id = stays.subject AND raw_events.time <= stays.finish
JOIN items USING (code)
WHERE section <> 'none'
    AND (section = 'diagnoses' OR date_diff('second', start, raw_events.time) >= 0);

CREATE TABLE chart_rows AS
SELECT
    CASE
        WHEN value IS NULL THEN 'has no number'
        WHEN NOT isfinite(value) THEN 'has an unreadable number'
    END AS drop_reason,
    row, item, seconds, value::DOUBLE AS value, '' AS unit
FROM known_events
WHERE section = 'charts';

CREATE TABLE presence AS
SELECT DISTINCT section, row, item FROM known_events WHERE section IN ('procedures', 'outputs');

CREATE TABLE medication_means AS
SELECT row, item, favg(value) FILTER (isfinite(value)) AS mean
FROM known_events
WHERE section = 'medications'
GROUP BY row, item;

CREATE TABLE diagnosis_roots AS
SELECT row, code AS root, label AS title, min(time) AS sort_key
FROM known_events
JOIN items USING (item)
WHERE known_events.section = 'diagnoses' AND getvariable('diagnoses') <> 'none'
GROUP BY ALL;
DROP TABLE known_events;
