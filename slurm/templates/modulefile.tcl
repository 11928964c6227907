#%Module1.0
# sprov for Environment Modules and Lmod: as MODULEPATH/sprov/VERSION.
# The module gives the command alone.  Programs import pllib from their own Python environments.
set prefix "@PREFIX@"

proc ModulesHelp { } {
    puts stderr "Records what batch jobs do, as a graph that answers questions."
    puts stderr "    sprov slurm doctor      checks this site"
    puts stderr "    sprov slurm template    job scripts to start from"
}
module-whatis "sprov @VERSION@: provenance of batch jobs"

conflict sprov
# A folder with nothing but the command, so that PREFIX's Python does not come before the user's.
prepend-path PATH $prefix/command
# setenv SPROV_SITE_CONFIG /etc/sprov/config.toml
# setenv SPROV_MODE off
