WITH runs AS (
  SELECT run, coalesce(name, run) AS name FROM answer
  WHERE how = 'named' AND ($study = '' OR coalesce(study, '') = $study)
), read AS (
  SELECT DISTINCT r.run, n.name, r.path, r.file, r.content
  FROM answer r JOIN runs n ON n.run = r.run
  WHERE r.how = 'read' AND NOT EXISTS (FROM answer w WHERE w.how = 'wrote' AND w.run = r.run AND w.file = r.file)
), shared AS (
  SELECT run, name, path, 'version' AS how, file AS thing FROM read
  UNION ALL
  SELECT run, name, path, 'content', content FROM read WHERE content IS NOT NULL
)
SELECT string_agg(DISTINCT path, ', ' ORDER BY path) AS path, how, count(DISTINCT run) AS runs,
       string_agg(DISTINCT name, ', ' ORDER BY name) AS names
FROM shared GROUP BY thing, how
HAVING count(DISTINCT run) > 1 AND (how = 'version' OR count(DISTINCT path) > 1)
ORDER BY path, how
