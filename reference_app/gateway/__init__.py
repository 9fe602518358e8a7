"""The MCP gateway: one endpoint for many MCP servers, with scoped keys, a probe, hooks and header layers."""
