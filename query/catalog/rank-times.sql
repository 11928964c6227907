WITH attempts AS (  -- a wrapper and the program in it are two sessions of a rank
  SELECT rank, host, restart, max(date_diff('microsecond', started, ended)) / 1e6 AS seconds FROM ranks GROUP BY rank, host, restart
), training AS (
  SELECT rank, host, sum(seconds) AS seconds FROM answer WHERE kind = 'training' GROUP BY rank, host
)
SELECT a.rank, a.host, sum(a.seconds) AS seconds, coalesce(any_value(t.seconds), 0) AS training_seconds
FROM attempts a LEFT JOIN training t USING (rank, host) GROUP BY a.rank, a.host ORDER BY seconds DESC NULLS LAST, a.rank
