SELECT name, value, string_agg(DISTINCT plan, ', ' ORDER BY plan) AS plans, run
FROM settings JOIN activities ON activity = id
WHERE run IS NOT NULL GROUP BY name, value, run ORDER BY name, value, run
