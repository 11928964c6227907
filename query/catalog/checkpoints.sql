SELECT DISTINCT training, trial, restart, step, score, best, path, size, modified
FROM kept ORDER BY training, trial, restart, modified, step
