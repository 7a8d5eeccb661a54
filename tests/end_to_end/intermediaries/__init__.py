"""Real nginx, HAProxy and Apache httpd between clients and a server."""
