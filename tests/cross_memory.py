#!/usr/bin/env python3
"""How much memory a server takes at its start, and each idle connection: cross_memory.py COMMAND [EMULATOR LIBC].

COMMAND is a release build of lockgate. Under qemu's user emulation the memory of the process is mostly the emulator's own, so
only the pages in the program's address space are counted: the emulator is told where to place that, and the system says how
much of each region is resident. For a program that allocates 10 MiB on i686 this counts the same 10,156 KiB of heap as the
processor itself shows. Pages of files are counted too, except in the figure of what only this process has (anonymous). Dirty pages
would not say that: those of a program that was just built are dirty as well, until the system has written the file.
"""

import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

CONNECTIONS = (100, 500)


def placement(emulator):
    """Options that say where the program's address space is, and that range."""
    if not emulator:
        return [], 0, 1 << 64
    if emulator in ("qemu-arm-static", "qemu-i386-static"):
        return ["-B", "0x100000000"], 1 << 32, 1 << 33
    return ["-R", "0x1000000000"], 0, 1 << 36


def resident(process, begin, end):
    """KiB of resident pages in that range: all, and those that only this process has."""
    total = own = 0
    counted = False
    with open(f"/proc/{process}/smaps") as regions:
        for line in regions:
            region = re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line)
            if region:
                counted = begin <= int(region[1], 16) < end
            elif counted and line.startswith("Rss:"):
                total += int(line.split()[1])
            elif counted and line.startswith("Anonymous:"):
                own += int(line.split()[1])
    return total, own


def settled(process, begin, end):
    """The same, once it no longer changes."""
    before = None
    while (now := resident(process, begin, end)) != before:
        before = now
        time.sleep(1)
    return now


def open_idle(port, trust):
    """A connection that has had an answer and now waits."""
    tls = trust.wrap_socket(socket.create_connection(("127.0.0.1", port)))
    tls.sendall(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        piece = tls.recv(4096)
        if not piece:
            sys.exit(f"the server has closed a connection after {answer!r}")
        answer += piece
    return tls


def main(command, emulator="", libc=""):
    options, begin, end = placement(emulator)
    runner = [emulator, "-L", libc, *options] if emulator else []
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as state:
        line = ["serve", "--device", "--state", state, "--https", "127.0.0.1:0", "--http", "off", "--workers", "1"]
        server = subprocess.Popen(
            [*runner, command, *line, "--idle-timeout", "60m"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            port = next(int(found[1]) for said in server.stdout if (found := re.search(r"https://localhost:(\d+)", said)))
            figures = [(0, *settled(server.pid, begin, end))]
            held = []
            for most in CONNECTIONS:
                held += [open_idle(port, trust) for _ in range(most - len(held))]
                figures.append((most, *settled(server.pid, begin, end)))
        finally:
            server.terminate()
            server.wait()
    start, first, last = figures[0], figures[-2], figures[-1]
    each = (last[2] - first[2]) / (last[0] - first[0])
    print(
        f"start {start[1] / 1024:.1f} MiB, of which {start[2] / 1024:.1f} MiB its own; "
        f"{last[0]} idle connections {last[1] / 1024:.1f} MiB; a connection {each:.1f} KiB"
    )


main(*sys.argv[1:])
