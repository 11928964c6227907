"""Modulefiles, read by Lua and Tcl with stand-ins for what Lmod and Environment Modules define."""

import ctypes
import os
import subprocess
import sys
from ctypes.util import find_library

from apt import provide, provide_tools
from harness import SCRIPT, Site, lack

LIBRARY = "liblua5.1-0"
LUA = """
said = {}
local function note(name)
  return function(...) said[#said + 1] = table.concat({name, ...}, " ") end
end
help, whatis, family, setenv = note("help"), note("whatis"), note("family"), note("setenv")
prepend_path = note("prepend_path")
pathJoin = function(a, b) return a .. "/" .. b end
%s
return table.concat(said, "\\n")
"""
TCL = """
proc module-whatis {text} {puts "whatis $text"}
proc conflict {name} {puts "conflict $name"}
proc prepend-path {name path} {puts "prepend-path $name $path"}
"""


def run_lua(text: str) -> str:
    """Run a chunk in Lua 5.1's library, which Slurm's own job submit plugin needs, too."""
    absent = provide(lambda: [] if find_library("lua5.1") else [LIBRARY], packages=(LIBRARY,))
    if absent:
        lack(absent)
    lua = ctypes.CDLL(find_library("lua5.1"))
    lua.luaL_newstate.restype = lua.lua_tolstring.restype = ctypes.c_void_p
    state = ctypes.c_void_p(lua.luaL_newstate())
    lua.luaL_openlibs(state)
    failed = lua.luaL_loadstring(state, text.encode()) or lua.lua_pcall(state, 0, 1, 0)
    said = ctypes.string_at(lua.lua_tolstring(state, -1, None)).decode()
    lua.lua_close(state)
    assert not failed, said
    return said


def test_the_lua_module_puts_the_command_before_the_path(site: Site):
    said = run_lua(LUA % site.sprov("slurm", "template", "modulefile.lua"))
    assert f"prepend_path PATH {sys.prefix}/command" in said.splitlines()
    assert "whatis Name: sprov" in said


def test_the_tcl_module_puts_the_command_before_the_path(site: Site):
    if absent := provide_tools("tclsh", packages=("tcl",)):
        lack(absent)
    text = TCL + site.sprov("slurm", "template", "modulefile.tcl") + "\nModulesHelp\n"
    done = subprocess.run(["tclsh"], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"prepend-path PATH {sys.prefix}/command" in done.stdout.splitlines()
    assert "sprov slurm doctor" in done.stderr


def test_a_command_that_is_a_link_finds_its_own_installation(site: Site):
    """As the folder that the modulefiles name has it."""
    command = site.folder / "command"
    command.mkdir()
    (command / "sprov").symlink_to(SCRIPT)
    found = subprocess.run(
        ["sprov", "--version"],
        env={**os.environ, "PATH": f"{command}:{os.defpath}"},
        text=True,
        capture_output=True,
        check=True,
    )
    assert found.stdout.startswith("sprov, version")


def test_a_modulefile_runs_no_program(site: Site):
    said = site.sprov("slurm", "template", "modulefile.lua", "-c", "hostname", status=2)
    assert "modulefile.lua" in said
