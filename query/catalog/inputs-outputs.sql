SELECT DISTINCT how, role, path, size, modified FROM answer
WHERE how = 'output' OR file NOT IN (SELECT file FROM answer WHERE how = 'output')
ORDER BY how, role, path, modified
