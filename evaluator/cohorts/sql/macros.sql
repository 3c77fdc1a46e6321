-- Times in MIMIC carry no zone; a time with one is detected, never shifted silently.
-- The usual shape, 2150-01-10 10:00:00, skips the costly search.
CREATE MACRO zoned(text) AS
    CASE
        WHEN length(text) = 19 AND substring(text, 17, 1) = ':' OR length(text) <= 15 THEN false
        ELSE regexp_matches(text, '([zZ]|[0-9][+-][0-9]{2}(:?[0-9]{2})?| UTC)$')
    END;
CREATE MACRO time_of(text) AS CASE WHEN zoned(text) THEN NULL ELSE TRY_CAST(text AS TIMESTAMP) END;
-- A value of 1e100 or more, infinite values and text are not measurements: NULL.
CREATE MACRO number_of(text) AS
    CASE WHEN abs(TRY_CAST(text AS DOUBLE)) < 1e100 THEN TRY_CAST(text AS DOUBLE) END;
CREATE MACRO key_of(text) AS TRY_CAST(text AS BIGINT);
