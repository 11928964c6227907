WITH versions AS (
  SELECT target, modified::TIMESTAMP AS modified, content FROM answer WHERE target IS NOT NULL
), fixed AS (
  SELECT * FROM versions WHERE modified = (SELECT max(modified) FROM versions)
), old AS (
  SELECT * FROM versions
  WHERE modified < (SELECT max(modified) FROM versions)
    AND coalesce(content NOT IN (SELECT content FROM fixed WHERE content IS NOT NULL), true)
)
SELECT a.run, n.name, coalesce(e.path, e.label) AS used, o.modified, min(a.started) AS first
FROM old o
JOIN entities e ON e.target = o.target
JOIN edges u ON u.target = o.target AND u.object = e.id AND u.relation = 'used'
JOIN activities a ON a.target = o.target AND a.id = u.subject
LEFT JOIN (SELECT run, name FROM answer WHERE run IS NOT NULL) n ON n.run = a.run
WHERE e.path IS NOT NULL
GROUP BY a.run, n.name, e.path, e.label, o.modified ORDER BY first, used
