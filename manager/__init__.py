"""Turn linked PROV-ML into RDF in an embedded Oxigraph store."""
