-- The rows of the file for the places from `low` to before `high`, in order.
WITH
here AS (
    SELECT stays.*, place, shown_stay, shown_subject
    FROM stays
    JOIN places ON places.row = stays.row
    WHERE place >= $low AND place < $high
),
named AS (
    SELECT
        row, presence.section, list(coalesce(label, 'item ' || item) ORDER BY item) AS names
    FROM presence
    SEMI JOIN here USING (row)
    LEFT JOIN items USING (item)
    GROUP BY ALL
),
charted AS (
    SELECT
        row,
        list({'name': coalesce(label, 'item ' || item), 'mean': mean} ORDER BY chart) AS charts
    FROM chart_means
    SEMI JOIN here USING (row)
    LEFT JOIN items USING (item)
    GROUP BY row
),
binned AS (
    SELECT row, list({'chart': chart, 'number': bin, 'value': value} ORDER BY chart, bin) AS bins
    FROM sorted_bins
    SEMI JOIN here USING (row)
    JOIN chart_means USING (row, item)
    GROUP BY row
),
given AS (
    SELECT
        row,
        list({'name': coalesce(label, 'item ' || item), 'mean': mean} ORDER BY item) AS medications
    FROM medication_means
    SEMI JOIN here USING (row)
    LEFT JOIN items USING (item)
    GROUP BY row
),
diagnosed AS (
    SELECT
        row,
        list(root ORDER BY diagnosis_roots.place, root) AS diagnosis_codes,
        list(title ORDER BY diagnosis_roots.place, root) AS diagnoses
    FROM diagnosis_roots
    SEMI JOIN here USING (row)
    GROUP BY row
)
SELECT
    shown_stay AS stay_id,
    shown_subject AS subject_id,
    died, age, sex, unit, race, insurance,
    coalesce(diagnosis_codes, []) AS diagnosis_codes,
    coalesce(diagnoses, []) AS diagnoses,
    coalesce(charts, []) AS charts,
    coalesce(medications, []) AS medications,
    coalesce(procedures.names, []) AS procedures,
    coalesce(outputs.names, []) AS outputs,
    coalesce(bins, []) AS bins
FROM here
LEFT JOIN diagnosed USING (row)
LEFT JOIN charted USING (row)
LEFT JOIN binned USING (row)
LEFT JOIN given USING (row)
LEFT JOIN named AS procedures ON procedures.row = here.row AND procedures.section = 'procedures'
LEFT JOIN named AS outputs ON outputs.row = here.row AND outputs.section = 'outputs'
ORDER BY here.place
