WITH latest AS (
  SELECT run, any_value(state) FILTER (latest) AS state, min(started) AS started FROM attempts GROUP BY run
)
SELECT DISTINCT again, a.state AS again_state, a.started AS again_started, "of", o.state AS of_state, o.started AS of_started, name
FROM answer LEFT JOIN latest a ON a.run = again LEFT JOIN latest o ON o.run = "of" ORDER BY again_started, again
