WITH scored AS (SELECT run, trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units), shared AS (
  SELECT run, trial, string_agg(name || '=' || value, ', ' ORDER BY name, value) AS configuration
  FROM counted WHERE NOT contains(lower(name), lower($seed)) GROUP BY run, trial
)
SELECT configuration, count(*) AS runs, avg(score) AS mean, stddev_samp(score) AS deviation
FROM scored JOIN shared USING (run, trial) GROUP BY configuration
ORDER BY CASE WHEN $best = 'lowest' THEN avg(score) ELSE -avg(score) END, configuration
