WITH scored AS (SELECT run, trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units)
SELECT run, trial, score, value
FROM scored JOIN settings USING (run, trial) WHERE name = $hyperparameter
QUALIFY dense_rank() OVER (ORDER BY CASE WHEN $best = 'lowest' THEN score ELSE -score END) = 1
ORDER BY run, trial, value
