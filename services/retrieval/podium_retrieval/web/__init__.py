"""Web pages where the corpus has too few documents: one look-up, Tavily's protocol."""
