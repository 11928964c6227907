"""The embedded Oxigraph store: one writer, and read-only snapshots of it for everyone else.

Measured with pyoxigraph 0.5.13: `bulk_load` is atomic and synced, `extend` is neither; opening a
store that is being written, even read-only, is undefined; a killed bulk load leaves ``bulk-*.sst``
files for ever; RocksDB keeps as many files open as the soft limit allows when it opens.
"""
