"""What the cases stand on: a server, and peers of both kinds behind one interface."""
