WITH per_trial AS (
  SELECT trial, CASE WHEN $best = 'lowest' THEN min(score) ELSE max(score) END AS score,
         date_diff('microsecond', min(started), max(ended)) / 1e6 AS seconds,
         CASE WHEN count(error) > 0 THEN 'failed' WHEN count(ended) < count(started) THEN 'unfinished'
              ELSE 'completed' END AS state,
         string_agg(DISTINCT name || '=' || value, ', ' ORDER BY name || '=' || value) AS configuration
  FROM (SELECT trial, started, ended::TIMESTAMP AS ended, error, name::VARCHAR AS name,
               value::VARCHAR AS value, score::DOUBLE AS score FROM answer)
  GROUP BY trial
)
SELECT trial, state, seconds, score, configuration FROM per_trial
ORDER BY CASE WHEN $best = 'lowest' THEN score ELSE -score END NULLS LAST, trial
