"""How the client sends requests: sessions, shared connections, bounded exchanges and streams."""
