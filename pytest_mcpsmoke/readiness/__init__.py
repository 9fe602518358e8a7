"""Whether you may ship: probes of live endpoints, the client matrix, the gate and its evidence."""
