WITH said AS (
  SELECT name,
         string_agg(DISTINCT value::VARCHAR, ', ' ORDER BY value::VARCHAR) FILTER (r = $run) AS run_has,
         string_agg(DISTINCT value::VARCHAR, ', ' ORDER BY value::VARCHAR) FILTER (r = $other) AS other_has
  FROM answer GROUP BY name
)
SELECT name, run_has, other_has FROM said WHERE run_has IS DISTINCT FROM other_has ORDER BY name
