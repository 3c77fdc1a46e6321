-- Times in MIMIC carry no zone; one that does is told apart, never shifted silently.
CREATE MACRO zoned(text) AS
    length(text) > 10 AND regexp_matches(text, '([zZ]|[0-9][+-][0-9]{2}(:?[0-9]{2})?| UTC)$');
CREATE MACRO time_of(text) AS CASE WHEN zoned(text) THEN NULL ELSE TRY_CAST(text AS TIMESTAMP) END;
CREATE MACRO number_of(text) AS
    CASE WHEN isfinite(TRY_CAST(text AS DOUBLE)) THEN TRY_CAST(text AS DOUBLE) END;
CREATE MACRO key_of(text) AS TRY_CAST(TRY_CAST(text AS DOUBLE) AS BIGINT);
