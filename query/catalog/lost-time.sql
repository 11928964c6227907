WITH per_rank AS (
  SELECT t, any_value("of") AS "of", any_value(training) AS training, any_value(rank) AS rank,
         any_value(restart) AS restart, min(started::TIMESTAMP) AS started, max(ended::TIMESTAMP) AS ended,
         count(error) > 0 OR count(ended) = 0 AS failed, max(finished::TIMESTAMP) AS finished,
         max(kept::TIMESTAMP) AS kept
  FROM answer GROUP BY t HAVING count("of") > 0 AND count(rank) > 0
), signed AS (
  SELECT *, coalesce(ended, finished, started) AS until,
         coalesce(max(kept) OVER (PARTITION BY "of"), started) AS since
  FROM per_rank
)
SELECT training, restart, count(*) AS ranks, min(since) AS since, max(until) AS until,
       date_diff('microsecond', min(since), max(until)) / 1e6 AS seconds,
       sum(greatest(date_diff('microsecond', since, until), 0)) / 1e6 AS rank_seconds
FROM signed WHERE failed GROUP BY training, restart, "of" ORDER BY since
