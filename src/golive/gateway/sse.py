"""Streams of frames to a client: whole batches in one write, comments while it is quiet, an end that says why."""

import msgspec

from golive.core.errors import GoliveError
from golive.gateway import outsiders
from golive.gateway.exchange import Exchange, Headers
from golive.gateway.watch import Watch
from golive.runtime.subscription import Subscription

HEARTBEAT = b": heartbeat\n\n"

_encode = msgspec.json.Encoder().encode


async def send_frames(exchange: Exchange, frames: Subscription, heartbeat_s: float, headers: Headers = ()) -> None:
    """Sends frames as server-sent events until the stream is over; always closes the subscription.

    An error on the way ends the stream with an `error` event of the runtime's own shape: what came before stands, and
    the client resumes with Last-Event-ID.

    Raises:
        ClientGone: the client left; what becomes of the run is the runtime's policy.
    """
    try:
        await exchange.begin_stream(headers)
        async with Watch(exchange):
            while (batch := await frames.next(heartbeat_s)) is not None:
                if len(batch) == 1:
                    await exchange.write(batch[0].sse())
                else:
                    await exchange.write(b"".join([frame.sse() for frame in batch]) or HEARTBEAT)
    except GoliveError as error:
        error = outsiders.told(exchange, error)  # the log has it already
        told = {"code": error.code, "message": error.message, "remedy": error.remedy}
        await exchange.end(b"event: error\ndata: %s\n\n" % _encode(told))
        return
    finally:
        frames.close()
    await exchange.end()
