SELECT DISTINCT a.split AS one, b.split AS other,
       CASE WHEN a.file = b.file THEN 'file' WHEN a.content = b.content THEN 'content' ELSE 'fingerprint' END AS by,
       CASE WHEN a.file = b.file OR a.content = b.content THEN a.path END AS path,
       CASE WHEN a.file = b.file OR a.content = b.content THEN b.path END AS other_path
FROM answer a JOIN answer b ON a.split < b.split
WHERE a.file = b.file OR a.content = b.content OR a.fingerprint = b.fingerprint
ORDER BY one, other, path, other_path
