# What a client does with a WebSocket that echoes, with websockets, and what came of it. With asyncio, because websockets.sync uses
# one TLS connection from two threads, which ssl of Python 3.11 does not allow for: now and then such a client reads no more.
import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(url, ca):
    trust = ssl.create_default_context(cafile=ca)
    said = []
    async with connect(url, ssl=trust, max_size=None) as socket:
        for data in ["", "\u00e4\u20ac\U0001f600", bytes(900000)]:
            await socket.send(data)
            back = await asyncio.wait_for(socket.recv(), 60)
            said.append(back if isinstance(back, str) else len(back))
        await socket.send(["frag", "ments"])
        said.append(await asyncio.wait_for(socket.recv(), 60))
        await asyncio.wait_for(await socket.ping("pong"), 60)
        said.append("pong")
        await socket.close(4001, "bye")
        said.append(f"{socket.close_code} {socket.close_reason}")
    async with connect(url, ssl=trust) as large:
        try:
            await large.send("x" * (2**20 + 1))
            await asyncio.wait_for(large.recv(), 60)
        except ConnectionClosed as closed:
            said.append(closed.rcvd.code)
    print("|".join(map(str, said)))


asyncio.run(main(*sys.argv[1:]))
