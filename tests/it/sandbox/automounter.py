# SPDX-License-Identifier: GPL-3.0-or-later
"""Executes a program beside an automounter: `automounter.py FOLDER answers|hangs PROGRAM [ARGUMENT]...`. Whoever looks into FOLDER has
a file system mounted there, with the file `there` in it, or waits for ever. To be called in a mount namespace of its own.

What the kernel and an automounter say to each other: autofs(5) of the kernel's documentation, and linux/auto_fs.h."""

import ctypes
import fcntl
import os
import select
import struct
import sys

MISSING_DIRECT = 5
READY = 0x9360
# Protocol, kind, token, and more that does not matter here (struct autofs_v5_packet).
PACKET = 304

folder, answers = sys.argv[1], sys.argv[2] == "answers"
libc = ctypes.CDLL(None, use_errno=True)


def mount(kind, options):
    if libc.mount(b"automounter", folder.encode(), kind, 0, options) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def serve(asked, worker):
    root = os.open(folder, os.O_RDONLY)
    while asked in (ready := select.select([asked, worker], [], [])[0]) or worker not in ready:
        _, kind, token = struct.unpack_from("iiI", os.read(asked, PACKET))
        if kind == MISSING_DIRECT and answers:
            mount(b"tmpfs", None)
            open(os.path.join(folder, "there"), "w").close()
            fcntl.ioctl(root, READY, token)


worker = os.pidfd_open(os.getpid())
asked, told = os.pipe()
ready, is_ready = os.pipe()
if os.fork() == 0:
    # Neither a child of the worker, nor in its group: an automounter is known by its group, and sees what is below.
    if os.fork() == 0:
        os.setsid()
        mount(b"autofs", f"fd={told},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct".encode())
        os.write(is_ready, b"x")
        for descriptor in (0, 1, 2, told, is_ready):
            os.close(descriptor)
        serve(asked, worker)
    os._exit(0)
os.wait()
os.read(ready, 1)
for descriptor in (worker, asked, told, ready, is_ready):
    os.close(descriptor)
os.execvp(sys.argv[3], sys.argv[3:])
