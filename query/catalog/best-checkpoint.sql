SELECT training, trial, step, score, path, size, modified, $run AS run
FROM kept WHERE best
QUALIFY row_number() OVER (PARTITION BY "of" ORDER BY modified DESC, step DESC) = 1
ORDER BY training, trial, modified
