"""The configurations of MCP clients: what they say, and what is wrong in them, with file, line and key."""
