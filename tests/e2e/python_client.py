# SPDX-License-Identifier: Apache-2.0
"""A client on python3-websockets: subscribes, publishes, drops, and recovers what it missed.

Run with the server's WebSocket address; prints one JSON object with what it saw.
"""
import asyncio
import itertools
import json
import sys

import websockets


class Client:
    """One connection on the bare JSON protocol."""

    def __init__(self, socket):
        self.socket = socket
        self.ids = itertools.count(1)
        self.publications = []

    async def command(self, name, body):
        """Sends one command and returns its result; collects publications on the way."""
        number = next(self.ids)
        await self.socket.send(json.dumps({"id": number, name: body}))
        while True:
            for message in await self.receive():
                if message.get("id") == number:
                    if "error" in message:
                        raise RuntimeError(f"{name}: {message['error']}")
                    return message[name]

    async def receive(self):
        """The messages of the next frame."""
        frame = await asyncio.wait_for(self.socket.recv(), 10)
        messages = [json.loads(line) for line in frame.split("\n") if line]
        for message in messages:
            if message == {}:
                await self.socket.send("{}")
            publication = message.get("push", {}).get("pub")
            if publication:
                self.publications.append(publication)
        return messages

    async def wait_publications(self, count):
        while len(self.publications) < count:
            await self.receive()


async def main(address):
    channel = "from-python"
    async with websockets.connect(address) as socket:
        client = Client(socket)
        identity = await client.command("connect", {"name": "python"})
        position = await client.command("subscribe", {"channel": channel})
        for number in range(1, 6):
            await client.command("publish", {"channel": channel, "data": {"n": number}})
        await client.wait_publications(5)
        live = [publication["offset"] for publication in client.publications]
        socket.transport.abort()

    async with websockets.connect(address) as socket:
        other = Client(socket)
        await other.command("connect", {})
        for number in range(6, 16):
            await other.command("publish", {"channel": channel, "data": {"n": number}})

    async with websockets.connect(address) as socket:
        client = Client(socket)
        await client.command("connect", {})
        result = await client.command(
            "subscribe",
            {"channel": channel, "recover": True, "epoch": position["epoch"], "offset": live[-1]},
        )
    return {
        "client": identity["client"],
        "live": live,
        "recovered": result.get("recovered", False),
        "missed": [publication["offset"] for publication in result.get("publications", [])],
        "numbers": [publication["data"]["n"] for publication in result.get("publications", [])],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
