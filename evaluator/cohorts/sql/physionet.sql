-- PhysioNet 2012: records of the first 48 hours, one stay each, with descriptors at 00:00.
CREATE TABLE readings AS
SELECT
    key_of(record) AS stay,
    3600 * TRY_CAST(split_part(time, ':', 1) AS INTEGER)
        + 60 * TRY_CAST(split_part(time, ':', 2) AS INTEGER) AS seconds,
    trim(parameter) AS parameter,
    number_of(value) AS value,
    value IS NOT NULL AS written
FROM raw_readings;

CREATE TABLE described AS
SELECT
    stay,
    max(value) FILTER (parameter = 'Age' AND value BETWEEN 0 AND 130) AS age,
    max(value) FILTER (parameter = 'Gender') AS gender,
    max(value) FILTER (parameter = 'ICUType') AS type
FROM readings
GROUP BY stay;

CREATE TABLE candidate_stays AS
WITH parsed AS (
    SELECT
        key_of(record) AS stay,
        TRY_CAST(died AS INTEGER) AS died,
        row_number() OVER (PARTITION BY key_of(record)) AS copy
    FROM raw_outcomes
)
SELECT
    parsed.stay,
    parsed.died = 1 AS died,
    age,
    CASE gender WHEN 0 THEN 'F' WHEN 1 THEN 'M' END AS sex,
    -- The meaning of the codes is that of the challenge's description (not verified).
    CASE type
        WHEN 1 THEN 'Coronary Care Unit'
        WHEN 2 THEN 'Cardiac Surgery Recovery Unit'
        WHEN 3 THEN 'Medical ICU'
        WHEN 4 THEN 'Surgical ICU'
    END AS unit,
    CASE
        WHEN parsed.stay IS NULL THEN 'has no stay id'
        WHEN copy > 1 THEN 'repeats the id of another stay'
        WHEN died IS NULL OR died NOT IN (0, 1) THEN 'has no known outcome'
        WHEN described.stay IS NULL THEN 'belongs to no known patient'
    END AS drop_reason
FROM parsed
LEFT JOIN described ON described.stay = parsed.stay;

CREATE TABLE stays AS
SELECT
    (row_number() OVER (ORDER BY stay) - 1)::INTEGER AS row,
    stay, stay AS subject, NULL::INTEGER AS hours, died, age, sex, unit,
    NULL::VARCHAR AS race, NULL::VARCHAR AS insurance, true AS chosen
FROM candidate_stays
WHERE drop_reason IS NULL;

CREATE TABLE items AS
SELECT (row_number() OVER (ORDER BY parameter))::INTEGER AS item, parameter AS label
FROM (SELECT DISTINCT parameter FROM readings WHERE parameter IS NOT NULL);

CREATE TABLE chart_rows AS
SELECT
    CASE
        WHEN parameter IN ('RecordID', 'Age', 'Gender', 'ICUType') THEN 'describes the patient'
        WHEN NOT written THEN 'has no number'
        WHEN value IS NULL THEN 'has an unreadable number'
        WHEN parameter IN ('Height', 'Weight') AND value = -1 THEN 'is marked as missing'
        WHEN stays.row IS NULL THEN 'belongs to no stay'
        WHEN seconds IS NULL OR item IS NULL THEN 'has no readable time or item'
    END AS drop_reason,
    stays.row, item, seconds, value, '' AS unit
FROM readings
LEFT JOIN stays ON stays.stay = readings.stay
LEFT JOIN items ON items.label = readings.parameter;

CREATE TABLE presence AS
SELECT DISTINCT
    CASE label WHEN 'MechVent' THEN 'procedures' ELSE 'outputs' END AS section, row, item
FROM chart_rows
JOIN items USING (item)
WHERE drop_reason IS NULL AND label IN ('MechVent', 'Urine')
    AND seconds BETWEEN 0 AND 3600 * getvariable('window_hours') - 1
    AND (label <> 'MechVent' OR value = 1);

UPDATE chart_rows SET drop_reason = 'is told as a procedure'
WHERE drop_reason IS NULL AND item = (SELECT item FROM items WHERE label = 'MechVent');

CREATE TABLE medication_means (row INTEGER, item INTEGER, mean DOUBLE);
CREATE TABLE diagnosis_roots (row INTEGER, root VARCHAR, title VARCHAR, sort_key INTEGER);
DROP TABLE readings;
