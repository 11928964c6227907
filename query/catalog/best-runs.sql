WITH scored AS (SELECT *, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units)
SELECT row_number() OVER (ORDER BY CASE WHEN $best = 'lowest' THEN score ELSE -score END, run, trial) AS place,
       run, trial, score, configuration
FROM scored LEFT JOIN configurations USING (run, trial) QUALIFY place <= $k ORDER BY place
