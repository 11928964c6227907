WITH scored AS (SELECT run, trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units)
SELECT value, count(*) AS runs, avg(score) AS mean,
       CASE WHEN $best = 'lowest' THEN min(score) ELSE max(score) END AS best
FROM settings JOIN scored USING (run, trial)
WHERE name = $hyperparameter GROUP BY value
ORDER BY CASE WHEN $best = 'lowest' THEN avg(score) ELSE -avg(score) END, value
