-- sprov for Lmod: as MODULEPATH/sprov/VERSION.lua.
-- The module gives the command alone.  Programs import pllib from their own Python environments.
local prefix = "@PREFIX@"

help([[
Records what batch jobs do, as a graph that answers questions.

    sprov slurm doctor      checks this site
    sprov slurm template    job scripts to start from
]])
whatis("Name: sprov")
whatis("Version: @VERSION@")
whatis("Description: provenance of batch jobs")

family("sprov")
-- A folder with nothing but the command, so that PREFIX's Python does not come before the user's.
prepend_path("PATH", pathJoin(prefix, "command"))
-- setenv("SPROV_SITE_CONFIG", "/etc/sprov/config.toml")
-- setenv("SPROV_MODE", "off")
