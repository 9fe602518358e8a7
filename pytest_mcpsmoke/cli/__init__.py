"""The mcpsmoke command; it talks to pytest by subprocess only."""
