"""The tables of `whisper_talk.db`, word for word as PROTOCOL.md §4 has them.

Four programs share the file, so the schema is nobody's to improve: a table that is absent is
created with its indexes, a table that is there is left alone, and only the columns this service
reads or writes are asked for.
"""

# Per table, the statements that make it and its indexes.
STATEMENTS: dict[str, tuple[str, ...]] = {
    "callers": (
        """CREATE TABLE IF NOT EXISTS callers (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            phone_number TEXT UNIQUE,
            created_at TEXT NOT NULL,
            last_call TEXT NOT NULL
        )""",
        "CREATE INDEX IF NOT EXISTS idx_phone_number ON callers(phone_number)",
    ),
    "calls": (
        """CREATE TABLE IF NOT EXISTS calls (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            call_id TEXT UNIQUE NOT NULL,
            caller_id INTEGER REFERENCES callers(id),
            line_id INTEGER,
            phone_number TEXT,
            start_time TEXT NOT NULL,
            end_time TEXT,
            transcription TEXT DEFAULT '',
            llama_response TEXT DEFAULT '',
            status TEXT DEFAULT 'active'
        )""",
        "CREATE INDEX IF NOT EXISTS idx_call_id ON calls(call_id)",
        "CREATE INDEX IF NOT EXISTS idx_caller_id ON calls(caller_id)",
    ),
    "sip_lines": (
        """CREATE TABLE IF NOT EXISTS sip_lines (
            line_id INTEGER PRIMARY KEY AUTOINCREMENT,
            username TEXT NOT NULL,
            password TEXT,
            server_ip TEXT NOT NULL,
            server_port INTEGER NOT NULL DEFAULT 5060,
            enabled BOOLEAN DEFAULT 0,
            status TEXT DEFAULT 'disconnected',
            created_at DATETIME DEFAULT CURRENT_TIMESTAMP
        )""",
        "CREATE INDEX IF NOT EXISTS idx_username ON sip_lines(username)",
    ),
    "system_config": (
        """CREATE TABLE IF NOT EXISTS system_config (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
        )""",
    ),
}

# The columns that the service cannot do without, per table it uses.
NEEDED_COLUMNS: dict[str, frozenset[str]] = {
    "calls": frozenset({"id", "call_id", "start_time", "end_time", "transcription", "status"}),
    "system_config": frozenset({"key", "value", "updated_at"}),
}
