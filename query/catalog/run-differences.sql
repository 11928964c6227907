WITH said AS (
  SELECT what, name::VARCHAR AS name,
         string_agg(DISTINCT value::VARCHAR, ', ' ORDER BY value::VARCHAR) FILTER (r = $run) AS run_has,
         string_agg(DISTINCT value::VARCHAR, ', ' ORDER BY value::VARCHAR) FILTER (r = $other) AS other_has
  FROM answer a
  WHERE what != 'made'
    AND NOT (what = 'input' AND EXISTS (FROM answer m WHERE m.what = 'made' AND m.r = a.r AND m.file = a.file))
  GROUP BY what, name
)
SELECT what, name, run_has, other_has FROM said
WHERE run_has IS DISTINCT FROM other_has ORDER BY what, name
