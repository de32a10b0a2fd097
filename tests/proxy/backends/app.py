# A program behind WSGI, in waitress, on a plain port.
import gzip
import hashlib
import json
import sys
from urllib.parse import parse_qsl

from waitress.server import create_server

FILE = b"0123456789" * 20000


def file(environment):
    fields = [("Content-Type", "text/plain"), ("Accept-Ranges", "bytes"), ("ETag", '"file"')]
    if environment.get("HTTP_IF_NONE_MATCH") == '"file"':
        return "304 Not Modified", [("ETag", '"file"')], []
    wanted = environment.get("HTTP_RANGE", "")
    if wanted.startswith("bytes=") and "," not in wanted and environment.get("HTTP_IF_RANGE", '"file"') == '"file"':
        first, last = wanted[6:].split("-")
        begin, end = (int(first), int(last or len(FILE) - 1)) if first else (len(FILE) - int(last), len(FILE) - 1)
        if begin >= len(FILE):
            return "416 Range Not Satisfiable", [("Content-Range", f"bytes */{len(FILE)}")], [b""]
        end = min(end, len(FILE) - 1)
        fields.append(("Content-Range", f"bytes {begin}-{end}/{len(FILE)}"))
        return "206 Partial Content", fields, [FILE[begin:end + 1]]
    return "200 OK", fields, [FILE]


def answer(environment):
    method, path = environment["REQUEST_METHOD"], environment["PATH_INFO"]
    body = environment["wsgi.input"].read()
    text = [("Content-Type", "text/plain")]
    as_json = [("Content-Type", "application/json")]
    reads = method in ("GET", "HEAD")
    if path == "/api/data" and reads:
        return "200 OK", as_json, [b'{"message":"Secure data over HTTPS"}']
    if path == "/api/data" and method == "POST":
        try:
            return "201 Created", as_json + [("Location", "/api/items/1")], [json.dumps(json.loads(body)).encode()]
        except ValueError:
            return "400 Bad Request", text, [b"no JSON"]
    if path.startswith("/api/items/"):
        return ("204 No Content", [], []) if method == "DELETE" else ("200 OK", as_json, [body])
    if method == "OPTIONS":
        return "204 No Content", [("Allow", "GET, POST")], []
    if path == "/form" and method == "POST":
        return "200 OK", text, [repr(parse_qsl(body.decode())).encode()]
    if path == "/sum" and method == "POST":
        return "200 OK", text, [f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()]
    if path == "/query":
        return "200 OK", text, [environment["QUERY_STRING"].encode()]
    if path == "/moved":
        return "302 Found", [("Location", "/api/data")], [b"moved"]
    if path == "/moved/for/good":
        return "301 Moved Permanently", [("Location", "https://example.com/?a=b#c")], [b""]
    if path == "/login":
        return "200 OK", text + [("Set-Cookie", "session=a; Secure"), ("Set-Cookie", "theme=dark; Secure")], [b"in"]
    if path == "/cookie":
        return "200 OK", text, [environment.get("HTTP_COOKIE", "").encode()]
    if path == "/tagged":
        if environment.get("HTTP_IF_NONE_MATCH") == '"1"':
            return "304 Not Modified", [("ETag", '"1"')], []
        return "200 OK", text + [("ETag", '"1"')], [b"tagged"]
    if path == "/files/file.txt":
        return file(environment)
    if path == "/large":
        return "200 OK", text + [("Content-Length", "1048576")], [b"abcdefgh" * 131072]
    if path == "/pieces":
        return "200 OK", text, iter([b"first ", b"b" * 200000, b" last"])
    if path == "/zipped":
        zipped = "gzip" in environment.get("HTTP_ACCEPT_ENCODING", "")
        data = b"zip" * 10000
        fields = text + [("Vary", "Accept-Encoding")] + ([("Content-Encoding", "gzip")] if zipped else [])
        return "200 OK", fields, [gzip.compress(data, mtime=0) if zipped else data]
    if path == "/empty":
        return "204 No Content", [], []
    if path == "/nothing":
        return "200 OK", text + [("Content-Length", "0")], []
    if path == "/fields":
        return "200 OK", text + [("X-Long", "l" * 4000), ("X-Twice", "a"), ("X-Twice", "b")], [b"fields"]
    if path == "/busy":
        return "503 Service Unavailable", text + [("Retry-After", "7")], [b"busy"]
    if path == "/fault":
        raise RuntimeError("as the test wants it")
    if path == "/who":
        names = ("wsgi.url_scheme", "REMOTE_ADDR", "HTTP_HOST")
        return "200 OK", text, [" ".join(environment.get(name, "-") for name in names).encode()]
    return "404 Not Found", text, [f"no {path}".encode()]


def program(environment, start):
    status, fields, body = answer(environment)
    start(status, fields)
    return [] if environment["REQUEST_METHOD"] == "HEAD" else body


trusted = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for x-forwarded-proto", "clear_untrusted_proxy_headers": True}
server = create_server(program, host="127.0.0.1", port=0, threads=4, **trusted)
print(server.effective_port, flush=True)
sys.stderr = open("/dev/null", "w")
server.run()
