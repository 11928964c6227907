WITH of_rank AS (
  SELECT a, any_value("of") AS "of", any_value(stage) AS stage, any_value(rank) AS rank, min(start) AS started,
         min(index) AS first, max(index) AS last, max(path) AS resumed_from
  FROM answer GROUP BY a
)
SELECT stage, restart, count(DISTINCT rank) AS ranks, min(started) AS started, max(coalesce(own_end, rank_end)) AS ended,
       arg_min(state, severity) AS state, min(first) AS first, max(last) AS last, max(resumed_from) AS resumed_from
FROM of_rank JOIN ends USING (a) GROUP BY stage, restart, "of" ORDER BY started, stage
