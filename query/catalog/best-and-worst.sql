WITH scored AS (
  SELECT run, trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score, CASE WHEN $best = 'lowest' THEN CASE WHEN $best = 'lowest' THEN lowest ELSE highest END ELSE -(CASE WHEN $best = 'lowest' THEN lowest ELSE highest END) END AS badness
  FROM units
), ends AS (
  SELECT 'best' AS which, * FROM scored WHERE badness = (SELECT min(badness) FROM scored)
  UNION ALL
  SELECT 'worst', * FROM scored WHERE badness = (SELECT max(badness) FROM scored)
), done AS (
  SELECT run, coalesce(trial::VARCHAR, '') AS trial, count(DISTINCT section) AS sections
  FROM answer WHERE section IS NOT NULL GROUP BY ALL
)
SELECT which, run, trial, score, value, coalesce(sections, 0) AS sections
FROM ends LEFT JOIN (SELECT * FROM settings WHERE name = $hyperparameter) USING (run, trial)
LEFT JOIN done USING (run, trial) ORDER BY which, run, trial
