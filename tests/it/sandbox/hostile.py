# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tries that should not: `hostile.py ATTEMPT OUTSIDE SHARED HOME WORKER PORT`, where WORKER is a process and PORT has
one that listens. It says `done`, or with which error it was refused.

Nothing here harms the machine where nothing keeps it from that: tests are run as root, and a mistake may be what they find."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import stat
import sys
import threading

attempt, outside, shared, home = sys.argv[1:5]
worker, port = (int(number) for number in sys.argv[5:7])
guard = os.getppid()
kept = os.path.join(outside, "kept")
new = os.path.join(outside, "new")
own = os.path.join(os.environ["TMPDIR"], "own")
libc = ctypes.CDLL(None, use_errno=True)


def call(answer):
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path, flags=os.O_WRONLY):
    descriptor = os.open(path, flags, 0o644)
    os.write(descriptor, b"changed\n")


def by_own_descriptor():
    # A descriptor that may read is opened anew for writing.
    write(f"/proc/self/fd/{os.open(kept, os.O_RDONLY)}")


def by_folder_descriptor():
    folder = os.open(outside, os.O_PATH | os.O_DIRECTORY)
    os.open("new", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=folder)


def exchanged_link():
    # Whoever writes follows a link that leads inside now, and outside then.
    inside = os.path.join(shared, "inside")
    link = os.path.join(shared, "link")
    open(inside, "w").close()

    def exchange():
        for count in range(10_000):
            other = f"{link}.{count % 2}"
            os.symlink(kept if count % 2 else inside, other)
            os.rename(other, link)

    exchanger = threading.Thread(target=exchange)
    exchanger.start()
    refused = False
    while exchanger.is_alive():
        try:
            write(link, os.O_WRONLY | os.O_TRUNC)
        except FileNotFoundError:
            pass
        except PermissionError:
            refused = True
    exchanger.join()
    if refused:
        raise PermissionError(errno.EACCES, "refused whenever it led outside")


def mount():
    call(libc.unshare(0x10000000 | 0x00020000))  # CLONE_NEWUSER, CLONE_NEWNS
    call(libc.mount(b"none", shared.encode(), b"tmpfs", 0, None))


def trace(pid):
    call(libc.ptrace(16, pid, 0, 0))  # PTRACE_ATTACH


def limit(pid):
    one = (ctypes.c_ulong * 2)(1, 1)
    call(libc.prlimit(pid, 0, one, None))  # RLIMIT_CPU


def slow_a_user():
    # One who has no process: should it not be refused, nobody is the slower for it.
    try:
        os.setpriority(os.PRIO_USER, 54_321, 19)
    except ProcessLookupError:
        pass


def control_groups():
    mounts = [line.split() for line in open("/proc/self/mounts")]
    groups = [mount[1] for mount in mounts if mount[2] in ("cgroup", "cgroup2")]
    if not groups:
        raise PermissionError(errno.EACCES, "there are none here")
    return groups[0]


def first_words():
    socket.socket().sendto(b"words", 0x20000000, ("127.0.0.1", port))  # MSG_FASTOPEN


def memory(pid):
    open(f"/proc/{pid}/mem", "rb").close()


def own_signal_by_io():
    # A signal that the kernel sends in the name of who wanted it.
    ours, theirs = socket.socketpair()
    fcntl.fcntl(ours, fcntl.F_SETOWN, worker)
    fcntl.fcntl(ours, 10, signal.SIGKILL)  # F_SETSIG
    fcntl.fcntl(ours, fcntl.F_SETFL, fcntl.fcntl(ours, fcntl.F_GETFL) | os.O_ASYNC)
    theirs.send(b"x")
    raise PermissionError(errno.EACCES, "nothing says whether it was sent")


def socket_of(name):
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(os.path.join(home, name))
    asking.settimeout(30)
    asking.sendall(b"pause\n")
    if not asking.recv(1000):
        raise PermissionError(errno.EACCES, "it hung up")


def stolen():
    os.link(os.path.join(home, "flamenco-worker-credentials.yaml"), own)
    open(own).read()


def moved_home():
    os.rename(home, os.path.join(shared, "home"))


def renamed_home():
    os.rename(home, home + ".other")


attempts = {
    "create": lambda: open(new, "w").close(),
    "write": lambda: write(kept),
    "append": lambda: write(kept, os.O_WRONLY | os.O_APPEND),
    "truncate": lambda: os.truncate(kept, 0),
    "rename in": lambda: (open(own, "w").close(), os.rename(own, new)),
    "rename out": lambda: os.rename(kept, own),
    "rename there": lambda: os.rename(kept, new),
    "link in": lambda: (open(own, "w").close(), os.link(own, new)),
    "link out": lambda: (os.link(kept, own), write(own)),
    "symlink": lambda: os.symlink("kept", new),
    "mkdir": lambda: os.mkdir(new),
    "rmdir": lambda: os.rmdir(os.path.join(outside, "folder")),
    "unlink": lambda: os.unlink(kept),
    "mkfifo": lambda: os.mkfifo(new),
    "mknod": lambda: os.mknod(new, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    "mknod inside": lambda: os.mknod(os.path.join(shared, "disk"), stat.S_IFBLK | 0o600, os.makedev(7, 0)),
    "bind": lambda: socket.socket(socket.AF_UNIX).bind(new),
    "own descriptor": by_own_descriptor,
    "folder descriptor": by_folder_descriptor,
    "exchanged link": exchanged_link,
    "mount": mount,
    "credentials": lambda: open(os.path.join(home, "flamenco-worker-credentials.yaml")).read(),
    "credentials by the worker": lambda: open(
        f"/proc/{worker}/root{home}/flamenco-worker-credentials.yaml"
    ).read(),
    "credentials by a link": stolen,
    "configuration": lambda: open(os.path.join(home, "../flamenco-worker.toml")).read(),
    "write the configuration": lambda: write(os.path.join(home, "../flamenco-worker.toml"), os.O_WRONLY | os.O_TRUNC),
    "move the home": moved_home,
    "rename the home": renamed_home,
    "environment": lambda: open(f"/proc/{worker}/environ").read(),
    "descriptors": lambda: os.listdir(f"/proc/{worker}/fd") and open(f"/proc/{worker}/fd/0").read(),
    "memory of the worker": lambda: memory(worker),
    "memory of the guard": lambda: memory(guard),
    "signal the worker": lambda: os.kill(worker, signal.SIGTERM),
    "stop the worker": lambda: os.kill(worker, signal.SIGSTOP),
    "signal the guard": lambda: os.kill(guard, signal.SIGKILL),
    "signal by a descriptor": lambda: signal.pidfd_send_signal(os.pidfd_open(worker), signal.SIGTERM),
    "signal by io": own_signal_by_io,
    "trace the worker": lambda: trace(worker),
    "trace the guard": lambda: trace(guard),
    "limit the worker": lambda: limit(worker),
    "limit the guard": lambda: limit(guard),
    "slow the worker down": lambda: os.sched_setaffinity(worker, {0}) or os.setpriority(os.PRIO_PROCESS, worker, 19),
    "slow a user down": slow_a_user,
    "pause the worker": lambda: socket_of("flamenco-worker.pause"),
    "reload the worker": lambda: socket_of("flamenco-worker.reload"),
    "its status": lambda: socket_of("flamenco-worker.socket"),
    "leave the group": lambda: os.open(os.path.join(control_groups(), "cgroup.procs"), os.O_WRONLY),
    "handler of core files": lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "helper of devices": lambda: os.open("/sys/kernel/profiling", os.O_WRONLY),
    "credentials elsewhere": lambda: open(
        os.path.join(outside, "folder", "home", "flamenco-worker-credentials.yaml")
    ).read(),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "pair of datagrams": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    "pair of raw sockets": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW),
    "listen": lambda: socket.socket().listen(),
    "first words": first_words,
    "tcp": lambda: socket.create_connection(("127.0.0.1", port), 30),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "raw": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
}

try:
    attempts[attempt]()
    print(f"{attempt}: done", flush=True)
except OSError as error:
    print(f"{attempt}: refused, {errno.errorcode[error.errno]}", flush=True)
