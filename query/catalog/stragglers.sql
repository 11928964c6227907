WITH compared AS (
  SELECT *, quantile_disc(seconds, 0.5) OVER (PARTITION BY collective) AS median FROM answer
)
SELECT rank, host, plan, index, seconds, median, seconds / median AS ratio
FROM compared WHERE seconds > $factor * median AND median > 0 ORDER BY ratio DESC, rank
