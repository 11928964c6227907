SELECT DISTINCT plan, t.trial, name, value, adapted
FROM (SELECT * FROM answer WHERE name IS NOT NULL) s
LEFT JOIN (SELECT a, trial FROM answer WHERE trial IS NOT NULL) t USING (a)
ORDER BY plan, t.trial, name, adapted, value
