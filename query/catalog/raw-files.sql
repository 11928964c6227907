SELECT DISTINCT path, size, modified, id AS file FROM entities
WHERE path IS NOT NULL AND level > 0
  AND id NOT IN (SELECT subject FROM edges WHERE relation IN ('wasGeneratedBy', 'sameContent', 'wasDerivedFrom'))
ORDER BY path, modified
