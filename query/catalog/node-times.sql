WITH attempts AS (  -- a wrapper and the program in it are two sessions of a rank
  SELECT rank, host, restart, max(date_diff('microsecond', started, ended)) / 1e6 AS seconds FROM ranks GROUP BY rank, host, restart
), stages AS (
  SELECT host, sum(seconds) AS seconds FROM answer
  WHERE kind IN ('training', 'validation', 'evaluation', 'feature_extraction') GROUP BY host
)
SELECT a.host, count(DISTINCT a.rank) AS ranks, max(a.seconds) AS seconds, sum(a.seconds) / count(DISTINCT a.rank) AS mean,
       coalesce(any_value(s.seconds), 0) / count(DISTINCT a.rank) AS stage_mean
FROM attempts a LEFT JOIN stages s USING (host) GROUP BY a.host ORDER BY seconds DESC NULLS LAST, a.host
