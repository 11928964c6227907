WITH scored AS (SELECT *, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units LEFT JOIN configurations USING (run, trial))
SELECT configuration, score, run, trial FROM scored
WINDOW same AS (PARTITION BY configuration)
QUALIFY min(score) OVER same < max(score) OVER same
ORDER BY configuration, score, run, trial
