SELECT configuration, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score, run, trial FROM units LEFT JOIN configurations USING (run, trial) ORDER BY configuration, score, run, trial
