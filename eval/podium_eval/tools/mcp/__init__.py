"""Tools of MCP servers: the servers' file, a connection to each, and its tools as Podium's own."""
