SELECT asked.value, u.run, u.trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score
FROM settings known
JOIN settings asked USING (run, trial)
JOIN units u USING (run, trial)
WHERE known.name = $where AND asked.name = $hyperparameter
  AND (known.value = $equals::VARCHAR OR try_cast(known.value AS DOUBLE) = try_cast($equals::VARCHAR AS DOUBLE))
ORDER BY asked.value, u.run, u.trial
