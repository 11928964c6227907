WITH scored AS (SELECT run, trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units), best AS (
  SELECT * FROM scored
  QUALIFY dense_rank() OVER (ORDER BY CASE WHEN $best = 'lowest' THEN score ELSE -score END) = 1
)
SELECT b.run, b.trial, b.score, a.step, a.to AS value, min(a.time) AS "at", a.by
FROM best b JOIN answer a ON a.run = b.run AND (a.trial IS NULL OR a.trial = b.trial)
WHERE a.to IS NOT NULL
GROUP BY b.run, b.trial, b.score, a.step, a.to, a.by ORDER BY b.run, b.trial, "at"
