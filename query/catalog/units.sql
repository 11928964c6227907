-- units: what is compared, a run or a trial: highest and lowest score (mean over ranks of each time
-- that it was measured), settings, configuration.
-- settings: of each unit, those of its run included.
CREATE VIEW scores AS
  SELECT run, study, coalesce(trial::VARCHAR, '') AS trial, avg(score::DOUBLE) AS score
  FROM answer WHERE score IS NOT NULL GROUP BY run, study, trial, collective;
CREATE VIEW settings AS
  SELECT DISTINCT s.run, s.trial, a.name::VARCHAR AS name, a.value::VARCHAR AS value
  FROM (SELECT DISTINCT run, trial FROM scores) s
  JOIN answer a ON a.run = s.run AND (a.trial IS NULL OR a.trial = s.trial)
  WHERE a.name IS NOT NULL;
CREATE VIEW configurations AS
  SELECT run, trial, string_agg(name || '=' || value, ', ' ORDER BY name, value) AS configuration
  FROM settings GROUP BY run, trial;
CREATE VIEW units AS
  SELECT run, study, trial, max(score) AS highest, min(score) AS lowest, any_value(configuration) AS configuration
  FROM scores LEFT JOIN configurations USING (run, trial)
  GROUP BY run, study, trial
