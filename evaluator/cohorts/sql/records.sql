-- Rows `low` to before `high` of the cohort file, in order.
WITH
batch AS (
    SELECT stays.*, position, written_stay, written_subject
    FROM stays
    JOIN file_positions ON file_positions.row = stays.row
    WHERE position >= $low AND position < $high
),
present AS (
    SELECT
        row, presence.section, list(coalesce(label, 'item ' || item) ORDER BY item) AS names
    FROM presence
    SEMI JOIN batch USING (row)
    LEFT JOIN items USING (item)
    GROUP BY ALL
),
charted AS (
    SELECT
        row,
        list({'name': coalesce(label, 'item ' || item), 'mean': mean} ORDER BY chart) AS charts
    FROM chart_means
    SEMI JOIN batch USING (row)
    LEFT JOIN items USING (item)
    GROUP BY row
),
binned AS (
    SELECT row, list({'chart': chart, 'number': bin, 'value': value} ORDER BY chart, bin) AS bins
    FROM sorted_bins
    SEMI JOIN batch USING (row)
    JOIN chart_means USING (row, item)
    GROUP BY row
),
medicated AS (
    SELECT
        row,
        list({'name': coalesce(label, 'item ' || item), 'mean': mean} ORDER BY item) AS medications
    FROM medication_means
    SEMI JOIN batch USING (row)
    LEFT JOIN items USING (item)
    GROUP BY row
),
diagnosed AS (
    SELECT
        row,
        list(root ORDER BY diagnosis_roots.sort_key, root) AS diagnosis_codes,
        list(title ORDER BY diagnosis_roots.sort_key, root) AS diagnoses
    FROM diagnosis_roots
    SEMI JOIN batch USING (row)
    GROUP BY row
)
SELECT
    written_stay AS stay_id,
    written_subject AS subject_id,
    died, age, sex, unit, race, insurance,
    coalesce(diagnosis_codes, []) AS diagnosis_codes,
    coalesce(diagnoses, []) AS diagnoses,
    coalesce(charts, []) AS charts,
    coalesce(medications, []) AS medications,
    coalesce(procedures.names, []) AS procedures,
    coalesce(outputs.names, []) AS outputs,
    coalesce(bins, []) AS bins
FROM batch
LEFT JOIN diagnosed USING (row)
LEFT JOIN charted USING (row)
LEFT JOIN binned USING (row)
LEFT JOIN medicated USING (row)
LEFT JOIN present AS procedures ON procedures.row = batch.row AND procedures.section = 'procedures'
LEFT JOIN present AS outputs ON outputs.row = batch.row AND outputs.section = 'outputs'
ORDER BY batch.position
