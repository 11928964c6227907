SELECT DISTINCT made, plan, run, started, source FROM made ORDER BY made, started, plan, source
