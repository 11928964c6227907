WITH kept AS (
  SELECT DISTINCT file, step, score, path, modified::TIMESTAMP AS modified, a, whole, kind, label
  FROM answer WHERE file IS NOT NULL
), settings AS (
  SELECT k.file, s.name, s.value::VARCHAR AS value, NULL::TIMESTAMP AS since
  FROM kept k JOIN answer s ON s.a = k.whole
  WHERE s.name IS NOT NULL AND s.since IS NULL
  UNION
  SELECT k.file, s.name, s.value::VARCHAR, s.since::TIMESTAMP
  FROM kept k JOIN answer s ON s.whole = k.whole
  WHERE s.since IS NOT NULL AND s.since::TIMESTAMP <= k.modified
), effective AS (
  SELECT file, name, arg_max(value, coalesce(since, '0001-01-01'::TIMESTAMP)) AS value
  FROM settings GROUP BY file, name
), configurations AS (
  SELECT file, string_agg(name || '=' || value, ', ' ORDER BY name) AS configuration
  FROM effective GROUP BY file
)
SELECT max(label::VARCHAR) FILTER (kind = 'training') AS training, step, score, path, modified,
       any_value(configuration) AS configuration
FROM kept LEFT JOIN configurations USING (file)
GROUP BY file, step, score, path, modified ORDER BY training, modified, step
