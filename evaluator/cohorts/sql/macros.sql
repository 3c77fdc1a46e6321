-- Times in MIMIC carry no zone; one that does is told apart, never shifted silently.
-- The usual shape, 2150-01-10 10:00:00, is let through without the costly search.
CREATE MACRO zoned(text) AS
    CASE
        WHEN length(text) = 19 AND substring(text, 17, 1) = ':' OR length(text) <= 15 THEN false
        ELSE regexp_matches(text, '([zZ]|[0-9][+-][0-9]{2}(:?[0-9]{2})?| UTC)$')
    END;
CREATE MACRO time_of(text) AS CASE WHEN zoned(text) THEN NULL ELSE TRY_CAST(text AS TIMESTAMP) END;
-- No measurement reaches 1e100; what does (or is infinite, or no number) is not one.
CREATE MACRO number_of(text) AS
    CASE WHEN abs(TRY_CAST(text AS DOUBLE)) < 1e100 THEN TRY_CAST(text AS DOUBLE) END;
CREATE MACRO key_of(text) AS TRY_CAST(text AS BIGINT);
