# SPDX-License-Identifier: GPL-3.0-or-later
"""Executes a program on what looks like a kernel with another version of Landlock: `kernel.py VERSION PROGRAM ARGUMENTS...`.

Version 0 has no Landlock. For another one a supervisor answers who asks for the version (seccomp_unotify(2)); what a program
that believes the answer calls then, newer kernels know as well.
"""

import ctypes
import fcntl
import os
import platform
import select
import struct
import sys

version, command = int(sys.argv[1]), sys.argv[2:]
libc = ctypes.CDLL(None, use_errno=True)
SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
CREATE_RULESET = 444
LOAD, JUMP_IF_EQUAL, JUMP_IF_GREATER, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, NOTIFY, NOT_IMPLEMENTED = 0x7FFF0000, 0x7FC00000, 0x00050026
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1

if version == 0:
    # All three calls, from landlock_create_ruleset to landlock_restrict_self.
    program = [
        (LOAD, 0, 0, 0),
        (JUMP_IF_GREATER, 0, 2, CREATE_RULESET),
        (JUMP_IF_GREATER, 1, 0, CREATE_RULESET + 3),
        (RETURN, 0, 0, NOT_IMPLEMENTED),
        (RETURN, 0, 0, ALLOW),
    ]
else:
    # The one call that asks for the version, by its third argument.
    program = [
        (LOAD, 0, 0, 0),
        (JUMP_IF_EQUAL, 0, 3, CREATE_RULESET),
        (LOAD, 0, 0, 32),
        (JUMP_IF_EQUAL, 0, 1, 1),
        (RETURN, 0, 0, NOTIFY),
        (RETURN, 0, 0, ALLOW),
    ]

instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
buffer = ctypes.create_string_buffer(instructions)
header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
listener = libc.syscall(SECCOMP, 1, 0 if version == 0 else 8, header)  # SECCOMP_FILTER_FLAG_NEW_LISTENER
if listener == -1:
    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")

if version > 0:
    os.set_inheritable(listener, False)
    served = os.pidfd_open(os.getpid())
    # The supervisor is nobody's child of those whom it answers.
    if os.fork() == 0:
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        # It is below the filter itself, which therefore is never without a user: the end of the program is its own.
        poll.register(served, select.POLLIN)
        while all(ready != served for ready, _ in poll.poll()):
            asked = bytearray(80)
            try:
                fcntl.ioctl(listener, RECEIVE, asked)
                fcntl.ioctl(listener, SEND, asked[:8] + struct.pack("qiI", version, 0, 0))
            except FileNotFoundError:
                pass  # Who asked is gone.
        os._exit(0)
    os.wait()
os.execvp(command[0], command)
