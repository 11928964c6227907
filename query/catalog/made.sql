-- made: each file that was made in a lineage, with each that went into it.
CREATE VIEW made AS
WITH RECURSIVE around(part, whole) AS (
  SELECT DISTINCT id, id FROM activities
  UNION
  SELECT part, object FROM around JOIN edges ON subject = whole AND relation = 'isPartOf'
)
SELECT DISTINCT e.target, e.id, e.path AS made, a.plan, a.run, a.started, s.path AS source
FROM entities e
JOIN edges g ON g.subject = e.id AND g.relation = 'wasGeneratedBy' AND g.target = e.target
JOIN activities a ON a.id = g.object AND a.target = e.target
LEFT JOIN (
  SELECT r.part, u.object FROM around r JOIN edges u ON u.subject = r.whole AND u.relation = 'used'
) used ON used.part = a.id
LEFT JOIN entities s ON s.id = used.object AND s.target = e.target
WHERE e.path IS NOT NULL AND (used.object IS NULL OR s.path IS NOT NULL)
