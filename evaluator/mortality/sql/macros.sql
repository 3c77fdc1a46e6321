-- Times in MIMIC carry no zone; one that does is told apart, never shifted silently.
CREATE MACRO zoned(text) AS
    length(text) > 15 AND regexp_matches(text, '([zZ]|[0-9][+-][0-9]{2}(:?[0-9]{2})?| UTC)$');
CREATE MACRO time_of(text) AS CASE WHEN zoned(text) THEN NULL ELSE TRY_CAST(text AS TIMESTAMP) END;
-- No measurement reaches 1e100; what does (or is infinite, or no number) is not one.
CREATE MACRO number_of(text) AS
    CASE WHEN abs(TRY_CAST(text AS DOUBLE)) < 1e100 THEN TRY_CAST(text AS DOUBLE) END;
CREATE MACRO key_of(text) AS TRY_CAST(TRY_CAST(text AS DOUBLE) AS BIGINT);
