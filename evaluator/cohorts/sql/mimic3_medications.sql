-- MIMIC-III has two charting systems. CareVue has no end times: a charted row counts for the hour
-- that follows it (*inferred*).
CREATE VIEW raw_medications AS
SELECT stay_id, start, finish, item, order_id, amount, rate FROM raw_metavision
UNION ALL
SELECT
    stay_id, time, (time_of(time) + INTERVAL 1 HOUR)::VARCHAR, item, order_id, amount, rate
FROM raw_carevue;
