"""What people, models and tools say to each other, in no vendor's dialect."""

from typing import Literal

from msgspec import Raw, Struct

Role = Literal["system", "user", "assistant", "tool"]


class TextPart(Struct, frozen=True, tag="text"):
    """A piece of text inside a message of several parts."""

    text: str


class ImagePart(Struct, frozen=True, tag="image", omit_defaults=True):
    """A picture: an https address or a `data:` URL."""

    url: str
    detail: str | None = None


Part = TextPart | ImagePart


class Opaque(Struct, frozen=True, omit_defaults=True):
    """A provider's own state that a later turn must carry back unread, such as a signed block of thinking.

    `provider` is the name in the configuration and `model` its model: for every other one the state is left out, since
    models refuse or ignore what another model wrote. `data` is what stood on the wire. `before` counts the message's
    tool calls that came before it, so that the order can be kept.
    """

    provider: str
    data: Raw
    before: int = 0
    model: str = ""
    """"" where it is not known, as of state that a client hands back in a vendor's own form: any of the provider's."""

    def is_for(self, provider: str, model: str) -> bool:
        """Whether this model may be shown it."""
        return self.provider == provider and self.model in ("", model)


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A model's wish to call a tool. `arguments` is the text as the model wrote it, which need not be valid JSON."""

    id: str
    name: str
    arguments: str
    state: Opaque | None = None


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn. `tool_calls` and `state` stand on assistant messages, `tool_call_id` on tool messages."""

    role: Role
    content: str | tuple[Part, ...] = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    state: tuple[Opaque, ...] = ()

    def text(self) -> str:
        """All text of the message, parts joined by newlines; pictures left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class ToolSpec(Struct, frozen=True):
    """A tool as a model is told of it. `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Raw


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens of one model call, or a sum over several.

    `input_tokens` includes those read from the provider's cache (`cached_input_tokens`) and those written to it
    (`cache_write_tokens`), `output_tokens` the reasoning ones, as vendors bill them; each includes its audio and
    picture tokens, where a vendor tells them apart.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.input_audio_tokens + other.input_audio_tokens,
            self.input_image_tokens + other.input_image_tokens,
            self.output_audio_tokens + other.output_audio_tokens,
            self.output_image_tokens + other.output_image_tokens,
        )
