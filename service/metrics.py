"""What the server counts, in the words of Prometheus; one object, handed to whoever counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from service.store.store import Store

WAIT_WORTH_A_LOG_S = 0.010  # the user's plan: log a wait above 10 ms

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"callfsm_{name}", what, labels, registry=registry)

        def histogram(name: str, what: str) -> Histogram:
            return Histogram(f"callfsm_{name}", what, buckets=_SECONDS, registry=registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"callfsm_{name}", what, labels, registry=registry)

        self.engine = Info("callfsm_engine", "What transcribes", registry=registry)
        self.calls = counter("calls", "Calls by how they ended", "end")
        self.calls_active = gauge("calls_active", "Calls that are connected or about to be")
        self.calls_refused = counter("calls_refused", "New calls refused at first", "reason")
        self.calls_crashed = counter("calls_crashed", "Calls ended by a fault of ours")
        self.datagrams_malformed = counter("datagrams_malformed", "Datagrams that say nothing")
        self.protocol_errors = counter("protocol_errors", "Audio streams that broke the protocol")
        self.samples_not_finite = counter("samples_not_finite", "NaN or infinite samples, zeroed")
        self.audio_s = counter("audio_seconds", "Audio received")
        self.windows = counter("windows", "Windows transcribed, by cut", "cut")
        self.windows_replaced = counter("windows_replaced", "Windows that grew while they waited")
        self.words = counter("words", "Words forwarded")
        self.guards = counter("guards", "Guards that acted on a window", "guard")
        self.notes = counter("notes", "What calls found worth noting", "what")
        self.wait_s = histogram("inference_wait_seconds", "Wait for a context")
        self.wait_max_s = gauge("inference_wait_max_seconds", "Longest wait for a context")
        self._longest_wait_s = 0.0
        self.inference_s = histogram("inference_seconds", "Inference of a window")
        self.contexts = gauge("inference_contexts", "Contexts by what they do", "state")
        self.queue = gauge("inference_queue", "Windows that wait for a context")
        self.hub_late_s = histogram("hub_late_seconds", "How late the hub wakes a greenlet")
        self.echoes_dropped = counter("echoes_dropped", "Texts an audio peer did not read")
        self.texts_undelivered = counter("texts_undelivered", "Texts LLaMA never came back for")
        self.texts_unwritten = gauge("texts_unwritten", "Writes that wait for the database")
        self.texts_lost = gauge("texts_not_in_database", "Texts that the database did not take")
        self.dead_letters = counter("dead_letters", "Events that no actor took", "machine")
        self.recording_lost = counter("recording_lost", "Turns of calls that are in no log")

    def watch_store(self, store: Store) -> None:
        """Show what the store counts."""
        self.texts_unwritten.set_function(lambda: store.pending)
        self.texts_lost.set_function(lambda: store.lost)

    def waited(self, seconds: float) -> None:
        self.wait_s.observe(seconds)
        self._longest_wait_s = max(self._longest_wait_s, seconds)
        self.wait_max_s.set(self._longest_wait_s)
