WITH signs AS (
  SELECT t AS a, any_value("of") AS "of", any_value(training) AS training, min(started::TIMESTAMP) AS started,
         max(finished::TIMESTAMP) AS finished, max(kept::TIMESTAMP) AS kept
  FROM answer GROUP BY t HAVING count("of") > 0
), known AS (
  SELECT *, coalesce(max(kept) OVER (PARTITION BY "of"), started) AS since,
         coalesce(own_end, rank_end, finished, started) AS until
  FROM signs JOIN ends USING (a)
)
SELECT training, restart, arg_min(state, severity) AS state, count(*) AS ranks, min(since) AS since, max(until) AS until,
       greatest(date_diff('microsecond', min(since), max(until)), 0) / 1e6 AS seconds,
       sum(greatest(date_diff('microsecond', since, until), 0)) / 1e6 AS rank_seconds
FROM known WHERE state <> 'completed' GROUP BY training, restart, "of" ORDER BY since
