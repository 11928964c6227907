WITH per_trial AS (
  SELECT trial, date_diff('microsecond', min(started), max(ended)) / 1e6 AS seconds,
         CASE WHEN count(error) > 0 THEN 'failed' WHEN count(ended) < count(started) THEN 'unfinished'
              ELSE 'completed' END AS state,
         string_agg(DISTINCT name || '=' || value, ', ' ORDER BY name || '=' || value) AS configuration
  FROM (SELECT trial::VARCHAR AS trial, started::TIMESTAMP AS started, ended::TIMESTAMP AS ended, error, name::VARCHAR AS name,
               value::VARCHAR AS value FROM answer WHERE trial IS NOT NULL)
  GROUP BY trial
), scored AS (SELECT trial, CASE WHEN $best = 'lowest' THEN lowest ELSE highest END AS score FROM units)
SELECT trial, state, seconds, score, configuration FROM per_trial LEFT JOIN scored USING (trial)
ORDER BY CASE WHEN $best = 'lowest' THEN score ELSE -score END NULLS LAST, trial
