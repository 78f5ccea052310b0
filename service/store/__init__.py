"""The shared SQLite file: its schema, a plain connection to it, and the gevent face of both."""
