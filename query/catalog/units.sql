-- units: what is compared, a run or a trial: highest and lowest score, or the last one twice, as asked.
-- A score is the mean over ranks of each time that something was measured, of several values that
-- one execution generated the best; at a step that two attempts measured it is the later one's.
-- settings: of each unit, those of its run included.
CREATE VIEW inside AS
  SELECT DISTINCT regexp_extract(inside, '[^/]*$') AS activity, trial::VARCHAR AS trial FROM answer WHERE inside IS NOT NULL;
CREATE VIEW measured AS
  SELECT p.run, r.study, coalesce(i.trial, '') AS trial, p.rank, p.at_ns, p.value,
         coalesce(p.step, row_number() OVER (PARTITION BY p.run, i.trial, p.log_id, p.series ORDER BY p.at_ns, p.seq)) AS step
  FROM points p JOIN (SELECT DISTINCT run, study FROM answer WHERE series IS NOT NULL) r USING (run)
  LEFT JOIN inside i USING (activity)
  WHERE p.name = (SELECT measure FROM given) AND isfinite(p.value);
CREATE VIEW scores AS
  SELECT run, study, trial, avg(high) AS high, avg(low) AS low, max(began) AS moment
  FROM (
    SELECT run, study, coalesce(trial::VARCHAR, '') AS trial, collective, max(score::DOUBLE) AS high, min(score::DOUBLE) AS low,
           max(began::TIMESTAMP) AS began
    FROM answer WHERE score IS NOT NULL GROUP BY run, study, trial, collective, a
  ) GROUP BY run, study, trial, collective
  UNION ALL
  SELECT run, study, trial, avg(value), avg(value), make_timestamp(max(at_ns) // 1000)
  FROM (SELECT run, study, trial, rank, step, arg_max(value, at_ns) AS value, max(at_ns) AS at_ns FROM measured GROUP BY ALL)
  GROUP BY run, study, trial, step;
CREATE VIEW settings AS
  SELECT DISTINCT s.run, s.trial, a.name::VARCHAR AS name, a.value::VARCHAR AS value
  FROM (SELECT DISTINCT run, trial FROM scores) s
  JOIN answer a ON a.run = s.run AND (a.trial IS NULL OR a.trial = s.trial)
  WHERE a.name IS NOT NULL;
CREATE VIEW units AS
  SELECT run, study, trial,
         CASE WHEN (SELECT "of" FROM given) = 'last' THEN arg_max(high, moment) ELSE max(high) END AS highest,
         CASE WHEN (SELECT "of" FROM given) = 'last' THEN arg_max(low, moment) ELSE min(low) END AS lowest
  FROM scores GROUP BY run, study, trial
