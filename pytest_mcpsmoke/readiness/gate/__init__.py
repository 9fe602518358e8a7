"""The gate: checks that a project declares, run one by one, judged together, with evidence on disk."""
