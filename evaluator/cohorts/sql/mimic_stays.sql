-- Stays of MIMIC with the first rule that each fails (`drop_reason`); NULL is a stay of the cohort.
-- Adults' stays that are too short remain in `stays`: percentiles are those of all adults' rows.
CREATE TABLE patients AS
SELECT
    key_of(subject_id) AS subject,
    any_value(upper(left(trim(sex), 1))) AS sex,
    any_value(number_of(age)) AS age,
    any_value(time_of(birth)) AS birth,
    any_value(date_trunc('day', time_of(dod))) AS dod,
    coalesce(bool_or(zoned(dod)), false) AS zoned
FROM raw_patients
GROUP BY subject;

CREATE TABLE admissions AS
SELECT
    key_of(hadm_id) AS hadm,
    any_value(key_of(subject_id)) AS subject,
    any_value(time_of(discharge)) AS discharge,
    any_value(race) AS race,
    any_value(insurance) AS insurance
FROM raw_admissions
WHERE key_of(hadm_id) IS NOT NULL
GROUP BY hadm;

CREATE TABLE candidate_stays AS
WITH
parsed AS (
    SELECT
        key_of(stay_id) AS stay,
        key_of(subject_id) AS subject,
        key_of(hadm_id) AS hadm,
        time_of(start) AS start,
        time_of(finish) AS finish,
        zoned(start) OR zoned(finish) AS zoned,
        unit,
        row_number() OVER (PARTITION BY key_of(stay_id) ORDER BY start, finish, hadm_id) AS copy
    FROM raw_stays
),
joined AS (
    SELECT
        parsed.*,
        patients.subject IS NOT NULL AS known,
        admissions.hadm IS NOT NULL AS admitted,
        sex,
        -- MIMIC-III shifts births of patients over 89 by 300 years; MIMIC-IV writes 91 for them.
        coalesce(
            age,
            CASE WHEN date_sub('year', birth, start) > 150 THEN 91
            ELSE date_sub('year', birth, start) END
        ) AS age,
        race,
        insurance,
        patients.dod
    FROM parsed
    LEFT JOIN patients ON patients.subject = parsed.subject
    LEFT JOIN admissions ON admissions.hadm = parsed.hadm
)
SELECT
    *,
    coalesce(dod >= start AND dod <= finish, false) AS died,
    date_diff('second', start, finish) // 3600 AS hours,
    CASE
        WHEN stay IS NULL THEN 'has no stay id'
        WHEN copy > 1 THEN 'repeats the id of another stay'
        WHEN start IS NULL OR finish IS NULL THEN 'lacks the time of arrival or of leaving'
        WHEN finish <= start THEN 'ends before it begins'
        WHEN NOT known THEN 'belongs to no known patient'
        WHEN NOT admitted THEN 'belongs to no known admission'
        WHEN age IS NULL OR age < 0 OR age > 130 THEN 'is of unknown or impossible age'
        WHEN age < getvariable('min_age') THEN 'is younger than the least age'
        WHEN hours < getvariable('min_hours') THEN 'is shorter than window and gap'
    END AS drop_reason
FROM joined;

CREATE TABLE stays AS
SELECT
    (row_number() OVER (ORDER BY subject, start, stay) - 1)::INTEGER AS row,
    stay, subject, hadm, start, finish, hours, died, age, sex, unit, race, insurance,
    drop_reason IS NULL AS chosen
FROM candidate_stays
WHERE drop_reason IS NULL OR drop_reason = 'is shorter than window and gap';
