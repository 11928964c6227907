-- kept: checkpoints, with training and trial by name, `of` (the training) and restart of the run.
CREATE VIEW kept AS
SELECT file, a, step, score, best, used, path, size, modified,
       max(label::VARCHAR) FILTER (kind = 'training') AS training,
       coalesce(max(whole) FILTER (kind = 'training'), '') AS "of",
       max(label::VARCHAR) FILTER (kind = 'trial') AS trial,
       max(restart::BIGINT) AS restart
FROM answer GROUP BY file, a, step, score, best, used, path, size, modified
