# A WebSocket that echoes, with websockets.
from websockets.sync.server import serve


def echo(socket):
    for message in socket:
        socket.send(message)


with serve(echo, "127.0.0.1", 0, max_size=2**20) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
