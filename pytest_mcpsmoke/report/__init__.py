"""One model of a finding, several renderings of it. No pytest."""
