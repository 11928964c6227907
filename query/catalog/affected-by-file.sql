SELECT DISTINCT CASE WHEN e.kind IN ('model', 'checkpoint') THEN 'model' ELSE 'file' END AS what,
       path AS name, NULL AS value, plan, run
FROM entities e JOIN edges ON subject = e.id AND relation = 'wasGeneratedBy'
JOIN activities a ON a.id = object
WHERE path IS NOT NULL AND level > 0
UNION
SELECT 'evaluation', name, value::VARCHAR, plan, run
FROM answer JOIN activities ON id = whole
WHERE id IN (SELECT subject FROM edges WHERE relation = 'used')
ORDER BY what, name, value, run
