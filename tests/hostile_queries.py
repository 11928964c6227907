"""Queries that are meant to do harm, and a store on which they would."""

from __future__ import annotations

from manager.store.writable import Store
from pllib.project import Project

NODES = 20_000
EDGES = {(n, other % NODES) for n in range(NODES) for other in (n + 1, 7 * n + 3)}
NEXT = "<urn:next>"
HONEST = f"SELECT (COUNT(*) AS ?n) {{ ?s {NEXT} ?o }}"
"""Counts `EDGES`."""
ENDLESS = f"SELECT * {{ ?a {NEXT} ?b . ?c {NEXT} ?d . ?e {NEXT} ?f }}"
"""Its answer has rows from the first moment on, and 6e13 in all."""
SILENT = f"SELECT (COUNT(*) AS ?n) {{ ?a {NEXT} ?b . ?c {NEXT} ?d . ?e {NEXT} ?f }}"
"""Its answer is one row, and would take days."""

_DOUBLED = "".join(f"BIND(CONCAT(?x{n}, ?x{n}) AS ?x{n + 1}) " for n in range(40))
_CHAIN = " . ".join(f"?s{n} ?p{n} ?s{n + 1}" for n in range(200))
_MANY = " ".join(str(n) for n in range(3_000))

QUERIES: dict[str, bytes] = {
    "2,200 nested braces": b"SELECT * " + b"{" * 2_200 + b"}" * 2_200,
    "2,200 nested parentheses": b"ASK { FILTER(" + b"(" * 2_200 + b"1" + b")" * 2_200 + b") }",
    "2,000 nested IF": b"ASK { FILTER(" + b"IF(1, 1, " * 2_000 + b"1" + b")" * 2_000 + b") }",
    "a chain of 20,000 ||": b"ASK { FILTER(" + b"true||" * 20_000 + b"true) }",
    "a chain of 10,000 UNION": b"SELECT * { " + b"{} UNION " * 10_000 + b"{} }",
    "a list of 900 blank nodes": b"SELECT * { ?s ?p (" + b"1 " * 900 + b") }",
    "200 triple patterns": f"SELECT * {{ {_CHAIN} . ?s3 ?q ?s77 . ?s9 ?q ?s150 }}".encode(),
    "a product that is counted": SILENT.encode(),
    "a product that is sent": ENDLESS.encode(),
    "a product that is sorted": f"{ENDLESS} ORDER BY ?f ?a".encode(),
    "a product that is joined to one text": (
        f"SELECT (GROUP_CONCAT(STR(?b)) AS ?x) {{ ?a {NEXT} ?b . ?c {NEXT} ?d }}".encode()
    ),
    "a path without an end": (
        f"SELECT (COUNT(*) AS ?n) {{ ?a (({NEXT}|^{NEXT})*)* ?b }}".encode()
    ),
    "a text doubled 40 times": f'SELECT ?x40 {{ BIND("abcdefgh" AS ?x0) {_DOUBLED}}}'.encode(),
    "a text grown by REPLACE": (
        b'SELECT ?x { BIND(REPLACE(REPLACE(REPLACE(REPLACE("aaaaaaaaaa", "a", "$0$0$0$0$0$0$0$0"),'
        b' "a", "$0$0$0$0$0$0$0$0"), "a", "' + b"$0" * 5_000 + b'"), "a", "' + b"$0" * 5_000
        + b'") AS ?x) }'
    ),
    "VALUES times VALUES": (
        f"SELECT (COUNT(*) AS ?n) {{ VALUES ?a {{ {_MANY} }} VALUES ?b {{ {_MANY} }}"
        f" VALUES ?c {{ {_MANY} }} FILTER(?a + ?b = ?c + 0.5) }}".encode()
    ),
    "SERVICE": b"SELECT * { SERVICE <http://127.0.0.1:9/> { ?s ?p ?o } }",
    "SERVICE within a word": b"PREFIX : <http://127.0.0.1:9/> ASK { ?s ?p trueSERVICE:x{} }",
    "SERVICE behind what is no comment": b"ASK { ?s ?p ?o . #\rSERVICE <http://127.0.0.1:9/> {} }",
    "SERVICE escaped": b"SELECT * { \\u0053ERVICE <http://127.0.0.1:9/> { ?s ?p ?o } }",
    "LOAD": b"LOAD <http://127.0.0.1:9/>",
    "an update": b"PREFIX a: <urn:> DELETE { ?s ?p ?o } INSERT { a:a a:b a:c } WHERE { ?s ?p ?o }",
    "FROM elsewhere": b"SELECT * FROM <http://127.0.0.1:9/> { ?s ?p ?o }",
    "10 MB": b"SELECT * { ?s ?p '" + b"x" * 10_000_000 + b"' }",
    "what is not UTF-8": b"SELECT * { ?s ?p '\xff\xfe' }",
    "NUL": b"SELECT * { ?s ?p '\0' }",
}  # fmt: skip


def fill(project: Project) -> None:
    """Give a project a store with cycles, and a snapshot of it."""
    lines = [f"<urn:{n}> {NEXT} <urn:{other}> .\n" for n, other in EDGES]
    store = Store(project.store)
    store.load("".join(lines).encode())
    store.snapshot(project.snapshots)
    store.close()
