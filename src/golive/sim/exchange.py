"""One request to the simulator, from its body to its first byte: script, limit, fault, cache, answer, and its bill."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from golive.core.chance import SeededChance
from golive.sim.bill import Ending
from golive.sim.compose import Answer, compose
from golive.sim.continuation import split
from golive.sim.embeddings import vectors
from golive.sim.garbage import GarbagePlayback
from golive.sim.playback import Done, ErrorPlayback, StreamPlayback, WholePlayback
from golive.sim.prompt_cache import NOTHING, Hit
from golive.sim.protocol import Connection, Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import Script
from golive.sim.vendor import Dialect, Embedder, Limit, Reply, Vendor, refusal, scripted_error

if TYPE_CHECKING:
    from golive.sim.server import Simulator

SCRIPT_HEADER = "x-sim-script"
_SHOWN_LIMIT = 100
"""What the limit headers say where the script sets what remains and no limit."""


class Exchange:
    """A request of one vendor's, and where its answer goes."""

    def __init__(
        self, simulator: "Simulator", connection: Connection, vendor: Vendor, request: Request, number: int
    ) -> None:
        self._sim = simulator
        self._connection = connection
        self._vendor = vendor
        self._request = request
        self._number = number
        self._headers = vendor.headers(number)

    def answer(self, dialect: Dialect, model: str) -> None:
        """Reads a request for an answer, and lets the answer or its fault travel.

        Raises:
            Rejected: as the vendor refuses it.
            ScriptInvalid: the script cannot be followed.
        """
        sim = self._sim
        chat = dialect.read(self._request, model, sim.seals)
        script = self._script(chat.model)
        base, partial = split(chat, script, continues=dialect.continues)
        script = script.turn(base.rounds())
        hit = Hit(min(script.cached_tokens, chat.input_tokens))
        call = f"{dialect.reply_prefix}sim{self._number}"
        done = self._biller(call, chat.model, hit, chat.input_tokens, stream=chat.stream)
        breaks_later = chat.stream and script.cut == "error" and script.cut_after is not None
        self._limit(script, chat.model, done)
        if self._fault(script, done, status=not breaks_later):
            return
        self._check_context(script, chat.input_tokens, done)
        if partial is not None and partial.how == "refuse":
            done("failed", 0)
            raise refusal(self._vendor, "prefill")
        if script.prompt_cache and chat.prompt and not script.cached_tokens:
            look_up = sim.prompt_cache.marked if dialect.marks else sim.prompt_cache.automatic
            hit = look_up(self._owner(chat.model), chat.prompt, sim.now())
            done = self._biller(call, chat.model, hit, chat.input_tokens, stream=chat.stream)
        namer = self._namer(dialect, chat, script)
        answer = compose(base, script, sim.chance(base), namer, partial=partial, hit=hit)
        self._play(dialect, chat, script, answer, done)

    def embed(self, embedder: Embedder, model: str) -> None:
        """Reads a request for vectors, and lets them or their fault travel.

        Raises:
            Rejected, ScriptInvalid: as for `answer`.
        """
        asked = embedder.read(self._request, model)
        script = self._script(asked.model)
        done = self._biller(f"embd-sim{self._number}", asked.model, NOTHING, asked.input_tokens, stream=False)
        self._limit(script, asked.model, done)
        if self._fault(script, done):
            return
        self._check_context(script, asked.input_tokens, done)
        found = vectors(self._sim.seed, asked.model, asked.texts)
        body = embedder.write(asked, found, script)
        WholePlayback(self._connection, script, done, body, self._headers, tokens=0).begin()

    def fail(self, script: Script) -> None:
        """Answers with the script's fault, whatever was asked."""
        self._fault(script, lambda _ending, _tokens: None)

    def _script(self, model: str) -> Script:
        if not self._sim.scripts.known(model):
            raise refusal(self._vendor, "model", model=model)
        if self._sim.outage is not None:
            return self._sim.outage.as_script()
        header = self._request.headers.get(SCRIPT_HEADER)
        # Header values were read as Latin-1, byte for byte; a script's JSON is UTF-8.
        told = None if header is None else header.encode("latin-1")
        return self._sim.scripts.choose(model, told, self._request.place)

    def _owner(self, model: str) -> str:
        return f"{self._vendor.name}\0{self._vendor.credential(self._request)}\0{model.partition('?')[0]}"

    def _limit(self, script: Script, model: str, done: Done) -> None:
        """Counts the request against its credential's limit, and adds the headers that tell of it."""
        fits, limit = True, None
        now, window_s = self._sim.now(), script.limit_window_s
        if script.limit_per_key is not None:
            fits, limit = self._sim.limits.take(self._owner(model), script.limit_per_key, window_s, now)
        if script.limit_remaining is not None:
            limit = limit or Limit(script.limit_per_key or _SHOWN_LIMIT, 0, window_s, now + window_s)
            limit = limit._replace(remaining=script.limit_remaining)
        if limit is None:
            return
        self._headers += self._vendor.limit_headers(limit)
        if not fits:
            done("failed", 0)
            wait = max(1, -int(-limit.reset_s // 1))
            refused = refusal(self._vendor, "limited", model=model, limit=limit.limit, wait=wait)
            refused.retry_after_s = wait
            header = b"retry-after: %d\r\n" % wait if self._vendor.retry_header else b""
            refused.headers = self._vendor.limit_headers(limit) + header
            raise refused

    def _fault(self, script: Script, done: Done, *, status: bool = True) -> bool:
        """Plays the fault of a script that gives no answer at all; whether it is one."""
        connection, vendor = self._connection, self._vendor
        if script.refuse:
            done("failed", 0)
            connection.reset()
        elif script.garbage is not None:
            GarbagePlayback(connection, script, done, self._headers, SeededChance(self._number)).begin()
        elif script.status is not None and status:
            after, headers = script.retry_after, self._headers
            if after is not None and (vendor.retry_header or isinstance(after, str)):
                shown = after if isinstance(after, str) else f"{after:g}"
                headers += b"retry-after: %b\r\n" % " ".join(shown.splitlines()).encode("latin-1", "replace")
            error = scripted_error(vendor, script)
            body = vendor.error_body(error, self._number)
            ErrorPlayback(connection, script, done, error.status, body, headers).begin()
        else:
            return False
        return True

    def _check_context(self, script: Script, used: int, done: Done) -> None:
        if script.max_context is not None and used > script.max_context:
            done("failed", 0)
            raise refusal(self._vendor, "context", limit=script.max_context, used=used)

    def _namer(self, dialect: Dialect, chat: ChatRequest, script: Script) -> Callable[[int], str]:
        front = f"{dialect.call_prefix}sim{self._number}x"
        first = f"{front}0"
        if chat.sealed and script.reasoning:
            first = self._sim.seals.demanding(first)
        return lambda index: f"{front}{index}" if index and not script.duplicate_ids else first

    def _biller(self, call: str, model: str, hit: Hit, used: int, *, stream: bool) -> Done:
        def done(ending: Ending, produced: int) -> None:
            self._sim.bill.add(
                call=call, model=model, state=ending, stream=stream, input_tokens=used, cached_tokens=hit.read,
                output_tokens=produced, at=self._sim.now(), cache_write_tokens=hit.written,
            )  # fmt: skip

        return done

    def _play(self, dialect: Dialect, chat: ChatRequest, script: Script, answer: Answer, done: Done) -> None:
        reply = Reply(self._number, int(self._sim.now()), chat, self._sim.seals)
        if not chat.stream:
            body = dialect.whole(answer, script, reply)
            tokens = answer.output_tokens()
            WholePlayback(self._connection, script, done, body, self._headers, tokens=tokens).begin()
            return
        events = dialect.stream(answer, script, reply)
        if script.unknown_event:
            events.events[1] = events.unknown + events.events[1]

        def last_words(at: int) -> bytes:
            error = scripted_error(self._vendor, script)
            return events.failure(at, error, self._vendor.error_body(error, self._number))

        StreamPlayback(self._connection, script, done, events, self._headers, last_words).begin()


def respond_rejected(connection: Connection, vendor: Vendor, number: int, error: Rejected) -> None:
    """Answers with a refusal."""
    headers = vendor.headers(number) + error.headers
    connection.respond(error.status, vendor.error_body(error, number), headers=headers)
