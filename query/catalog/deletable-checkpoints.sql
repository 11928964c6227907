WITH ranked AS (
  SELECT *,
         row_number() OVER (PARTITION BY "of" ORDER BY modified DESC, step DESC) AS from_last,
         row_number() OVER (PARTITION BY "of" ORDER BY best DESC, modified DESC, step DESC) AS from_best,
         row_number() OVER (PARTITION BY path ORDER BY modified DESC, step DESC) AS newer
  FROM (SELECT DISTINCT * EXCLUDE (a) FROM kept)
)
SELECT training, trial, step, path, size, modified
FROM ranked
WHERE from_last > 1 AND NOT (best AND from_best = 1) AND NOT used AND newer = 1
ORDER BY path
