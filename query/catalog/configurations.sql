-- counted: settings of `units`, without those that are ignored; configurations: all of a unit as one text.
CREATE VIEW counted AS
  SELECT * FROM settings
  WHERE NOT list_contains(string_split(replace((SELECT ignore FROM given), ' ', ''), ','), name);
CREATE VIEW configurations AS
  SELECT run, trial, string_agg(name || '=' || value, ', ' ORDER BY name, value) AS configuration
  FROM counted GROUP BY run, trial
