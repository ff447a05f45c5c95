"""An agent that thinks, acts and observes, with a model that speaks word by word and makes mistakes.

The model is a server on this machine that speaks the chat-completions protocol over real sockets: JSON in, server-sent
events out. What it says is scripted, so the program says the same each time and needs no key; point `open_client` at
another server, and the agent talks to that one.

- `think` asks the model and writes each word to the stream as it comes. A server that is busy (429), fails (500) or
  hangs up in the middle is asked again.
- `act` uses a tool. A list of calls is a fork, so all tools that the model asks for at once are used at once.
- `tell` takes what goes wrong there: a tool that raises, or is too slow, one that does not exist, arguments that are
  not JSON. The model is told, and may do better.
- `observe` joins what the tools said and begins the next turn, or gives up: a model that never answers costs no more
  than so many turns.

Run it with `python examples/react_agent.py [--backend asyncio|trio]`.
"""

import argparse
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from inspect import getdoc, signature
from typing import Annotated, Any, TypeAlias

import anyio
import attrs
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from stretto import (
    Context,
    Event,
    Resource,
    RetryPolicy,
    StartEvent,
    StopEvent,
    Workflow,
    catch_error,
    step,
)
from stretto.events import StepFailedEvent
from stretto.joins import All
from stretto.retry import exponential

Message: TypeAlias = dict[str, Any]


# ------------------------------------------------------------------------------------------------- the tools

DEGREES = {"Oslo": 4, "Rome": 15}
HOURS = {("Oslo", "Rome"): 38}


async def temperature(city: str) -> str:
    """The degrees in a city at this moment."""
    await anyio.sleep(0.05)  # a request to a weather service goes here
    if city not in DEGREES:
        raise LookupError(f"no weather station in {city}")
    return f"{DEGREES[city]}"


async def journey(start: str, end: str) -> str:
    """The hours that the train takes from one city to another."""
    await anyio.sleep(0.05)
    return f"{HOURS[start, end]}"


TOOLS: dict[str, Callable[..., Awaitable[str]]] = {"temperature": temperature, "journey": journey}


def described(name: str) -> Message:
    """A tool as the model is told of it, read from its signature; all parameters here are strings."""
    parameters = {each: {"type": "string"} for each in signature(TOOLS[name]).parameters}
    schema = {"type": "object", "properties": parameters, "required": [*parameters]}
    function = {"name": name, "description": getdoc(TOOLS[name]), "parameters": schema}
    return {"type": "function", "function": function}


async def use(name: str, arguments: str) -> str:
    """Does what the model asks for. What is raised here is an answer to the model, so it says what is wrong."""
    if name not in TOOLS:
        raise LookupError(f"there is no tool {name}, but: {', '.join(TOOLS)}")
    try:
        given = json.loads(arguments)
    except ValueError:
        raise ValueError(f"these arguments are not JSON: {arguments}") from None
    return await TOOLS[name](**given)


# ------------------------------------------------------------------------------------------------- the model


@attrs.frozen
class Reply:
    """One turn of the model: what it thinks aloud, and which tools it wants; without any, that is its answer.

    `{0}` in its text stands for the first observation that it was sent, and so on.
    """

    text: str
    calls: Sequence[tuple[str, str]] = ()


SCRIPT = (
    Reply(
        "I look at the weather in all three.",
        [
            ("temperature", '{"city": "Oslo"}'),
            ("temperature", '{"city": "Rome"}'),
            ("temperature", '{"city": "Atlantis"}'),
        ],
    ),
    Reply(
        "Nobody measures in Atlantis, so Rome it is. How far is that?", [("journey", '{"start": "Oslo", "e')]
    ),
    Reply("I was cut short. Once more.", [("journey", '{"start": "Oslo", "end": "Rome"}')]),
    Reply("Go to Rome: it has {1} degrees where you have {0}, and the train takes {4} hours."),
)
TROUBLE = {1: "429 Too Many Requests", 3: "500 Internal Server Error", 4: "hangs up"}
"""What happens to some of the requests, by their number, in place of a whole answer; "falls silent" is another."""


@attrs.define(eq=False)
class Model:
    """A server of chat completions that says what its script says.

    It keeps nothing in mind: as any such model it is sent the whole conversation, and goes on with it from there.

    Attributes:
        script: What it says, turn by turn.
        trouble: Which requests fare ill, and how.
        pause: Seconds between two pieces of an answer.
        address: Where it is while it is open.
        asked: The requests so far.
        deserted: How many clients went away in the middle of an answer.
    """

    script: Sequence[Reply] = SCRIPT
    trouble: Mapping[int, str] = attrs.Factory(lambda: TROUBLE)
    pause: float = 0.002
    address: str = ""
    asked: list[Message] = attrs.Factory(list[Message])
    deserted: int = 0

    async def serve(self, connection: SocketStream) -> None:
        """Answer one request after another, until the client hangs up."""
        requests = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    head = (await requests.receive_until(b"\r\n\r\n", max_bytes=65_536)).decode("ascii")
                    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                    body = await requests.receive_exactly(int(length[1]) if length else 0)
                    self.asked.append(json.loads(body))
                    await self._answer(connection)

    async def _answer(self, connection: SocketStream) -> None:
        trouble = self.trouble.get(len(self.asked), "")
        if trouble[:1].isdigit():
            await connection.send(f"HTTP/1.1 {trouble}\r\nContent-Length: 0\r\n\r\n".encode("ascii"))
            return
        pieces = [*self._pieces(self.asked[-1]["messages"])]
        try:
            await connection.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for delta in pieces[: len(pieces) // 2] if trouble else pieces:
                chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
                await connection.send(_chunk(f"data: {json.dumps(chunk)}\n\n"))
                await anyio.sleep(self.pause)
            if trouble == "hangs up":
                raise anyio.EndOfStream  # and the connection is closed
            await connection.send((b"" if trouble else _chunk("data: [DONE]\n\n")) + _chunk(""))
        except anyio.BrokenResourceError:
            self.deserted += 1
            raise

    def _pieces(self, messages: Sequence[Message]) -> Iterator[Message]:
        """The turn that comes next, cut into words and, where it calls a tool, into bits of JSON."""
        turn = sum(each["role"] == "assistant" for each in messages)
        observed = [each["content"] for each in messages if each["role"] == "tool"]
        reply = self.script[min(turn, len(self.script) - 1)]
        for word in re.findall(r"\S+\s*", reply.text.format(*observed)):
            yield {"content": word}
        for index, (name, arguments) in enumerate(reply.calls):
            function = {"name": name, "arguments": ""}
            opening = {"index": index, "id": f"call-{turn}-{index}", "type": "function", "function": function}
            yield {"tool_calls": [opening]}
            for bit in re.findall(r".{1,8}", arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": bit}}]}


def _chunk(text: str) -> bytes:
    return f"{len(text.encode()):x}\r\n{text}\r\n".encode()


@asynccontextmanager
async def open_model(model: Model | None = None) -> AsyncGenerator[Model]:
    """Serve on a free port of this machine."""
    model = model or Model()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as connections:
        connections.start_soon(listener.serve, model.serve)
        model.address = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610, not Django's
        yield model
        connections.cancel_scope.cancel()


@asynccontextmanager
async def open_client(
    model: Annotated[Model, Resource(open_model)],
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the model, for one run; it closes its connections, whatever ends the run."""
    async with httpx2.AsyncClient(base_url=model.address, trust_env=False) as client:
        yield client


Client = Annotated[httpx2.AsyncClient, Resource(open_client)]


# ------------------------------------------------------------------------------------------------- the agent


class Question(StartEvent):
    """Somebody asks: a run begins with this."""

    text: str


class Turn(Event):
    """The model is to be asked, for the first time or again."""

    number: int


class Call(Event):
    """The model wants a tool to be used; the arguments are as it wrote them."""

    turn: int
    id: str
    name: str
    arguments: str


class Observation(Event):
    """What came of a call: what the tool said, or what went wrong."""

    call: Call
    text: str


class Token(Event):
    """For the stream: a word of the model."""

    text: str


class AskedAgain(Event):
    """For the stream: why the words of this turn so far do not count."""

    why: str


class ModelError(Exception):
    """The server refused, or stopped in the middle of an answer; asking again may help or not."""

    def __init__(self, what: str, *, may_pass: bool) -> None:
        super().__init__(what)
        self.may_pass = may_pass


class TooManyTurnsError(Exception):
    """The model goes on using tools and does not answer."""


def may_pass(error: Exception) -> bool:
    """Whether the model is worth another attempt."""
    return error.may_pass if isinstance(error, ModelError) else isinstance(error, httpx2.TransportError)


def why(error: BaseException | None) -> str:
    """What went wrong, in the words of this program."""
    return str(error) if isinstance(error, ModelError) else "the line is dead"


@attrs.define
class Said:
    """What the model has said in this turn, put together from the pieces that arrive."""

    text: str = ""
    calls: list[Message] = attrs.Factory(list[Message])
    whole: bool = False

    def hear(self, line: str) -> str:
        """Takes in a line of the response and gives the new words in it."""
        kind, _, data = line.partition(": ")
        if kind != "data":
            return ""
        if data == "[DONE]":
            self.whole = True
            return ""
        delta: Message = json.loads(data)["choices"][0]["delta"]
        for piece in delta.get("tool_calls") or ():
            self._add(piece)
        words = delta.get("content") or ""
        self.text += words
        return words

    def _add(self, piece: Message) -> None:
        function: dict[str, str] = piece["function"]
        if piece["index"] == len(self.calls):
            call = {"id": piece["id"], "type": "function", "function": {**function, "arguments": ""}}
            self.calls.append(call)
        self.calls[piece["index"]]["function"]["arguments"] += function["arguments"]

    def as_message(self) -> Message:
        """As it is sent back, for the model keeps nothing in mind."""
        calls = {"tool_calls": self.calls} if self.calls else {}
        return {"role": "assistant", "content": self.text, **calls}


@attrs.define
class Chat:
    """The state of a run: what was said so far."""

    messages: list[Message] = attrs.Factory(list[Message])


class Agent(Workflow[str]):
    """Answers a question, with the help of tools and within so many turns."""

    def __init__(self, turns: int = 8) -> None:
        super().__init__(timeout=60)
        self.turns = turns

    @step
    async def begin(self, ctx: Context[Chat], ev: Question) -> Turn:
        """The conversation begins with the question."""
        async with ctx.store.edit_state() as chat:
            chat.messages.append({"role": "user", "content": ev.text})
        return Turn(number=1)

    @step(timeout=10, retry_policy=RetryPolicy(on=may_pass, attempts=4, wait=exponential(0.02)))
    async def think(self, ctx: Context[Chat], ev: Turn, client: Client) -> list[Call] | StopEvent[str]:
        """What the model says is kept when it has said it all, so a failed attempt leaves nothing but its words."""
        if ctx.attempt.number > 1:
            ctx.write_event_to_stream(AskedAgain(why=why(ctx.attempt.error)))
        chat = await ctx.store.get_state()
        asked = {
            "model": "scripted",
            "stream": True,
            "tools": [*map(described, TOOLS)],
            "messages": chat.messages,
        }
        said = Said()
        async with client.stream("POST", "/v1/chat/completions", json=asked) as response:
            if response.is_error:
                busy = response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error
                raise ModelError(f"{response.status_code} {response.reason_phrase}", may_pass=busy)
            async for line in response.aiter_lines():
                if words := said.hear(line):
                    ctx.write_event_to_stream(Token(text=words))
        if not said.whole:
            raise ModelError("the answer is not whole", may_pass=True)
        async with ctx.store.edit_state() as chat:
            chat.messages.append(said.as_message())
        if not said.calls:
            return StopEvent(result=said.text)
        return [Call(turn=ev.number, id=each["id"], **each["function"]) for each in said.calls]

    @step(num_workers=8, timeout=2)
    async def act(self, ev: Call) -> Observation:
        """Uses a tool, beside all others of this turn."""
        return Observation(call=ev, text=await use(ev.name, ev.arguments))

    @catch_error(for_steps=["act"], max_recoveries=1_000)
    async def tell(self, ev: StepFailedEvent) -> Observation:
        """The model is told what went wrong, as of any other observation; the turns are its budget."""
        assert isinstance(ev.event, Call)
        return Observation(call=ev.event, text=f"{type(ev.exception).__name__}: {ev.exception}")

    @step
    async def observe(
        self, ctx: Context[Chat], seen: Annotated[list[Observation], All(order="source")]
    ) -> Turn:
        """All tools of this turn have spoken; in the order in which the model asked, whichever was done first."""
        async with ctx.store.edit_state() as chat:
            for each in seen:
                chat.messages.append({"role": "tool", "tool_call_id": each.call.id, "content": each.text})
        for each in seen:
            ctx.write_event_to_stream(each)
        turn = seen[0].call.turn
        if turn == self.turns:
            raise TooManyTurnsError(f"no answer after {turn} turns")
        return Turn(number=turn + 1)


async def main() -> None:
    """Print what the model says as it says it, and what it is told."""
    question = "I freeze in Oslo. Is it warmer in Rome or in Atlantis, and how far is it by train?"
    print("?", question)
    async with Agent().run(Question(text=question)) as run:
        in_a_line = False
        async for ev in run.stream_events():
            if in_a_line and not isinstance(ev, Token):
                print()
            in_a_line = isinstance(ev, Token)
            match ev:
                case Token():
                    print(ev.text, end="", flush=True)
                case AskedAgain():
                    print(f"  [{ev.why}: asked again]")
                case Observation():
                    print(f"  {ev.call.name} {ev.call.arguments}: {ev.text}")
                case _:
                    pass
        answer = await run
    print("=", answer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    anyio.run(main, backend=parser.parse_args().backend)
