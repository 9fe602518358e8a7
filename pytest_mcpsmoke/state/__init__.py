"""What can leak, who wrote it, and which changes count. Standard library only; no pytest."""
