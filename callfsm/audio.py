"""The one format of audio inside: mono at this rate, as on the wire and as Whisper wants it."""

SAMPLE_RATE_HZ = 16_000
