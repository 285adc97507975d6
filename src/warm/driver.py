# SPDX-License-Identifier: GPL-3.0-or-later
#
# Renders frames for flamenco-worker in a Blender that is kept. Blender has done all else of its command line when this
# begins, and quits when it returns. From 2.93 on.
#
# What is asked and answered are lines of JSON on an inherited socket:
#
#   <- {"version": [4, 2, 0], "refusal": null, "libraries": ["/r/set.blend"]}
#   -> {"mark": "...", "frames": [[1, 1]], "environment": {"FLAMENCO_TASK_ID": "..."}}
#   <- {"error": null, "libraries": [...]}
#
# Around what it prints for one request there is a line each: the mark and "begin", the mark and "end".

import ctypes
import json
import os
import socket
import sys
import tempfile

import bpy

C_LIBRARY = ctypes.CDLL(None)

# The operator has finished, as it says, also when it was interrupted.
broken_off = []
bpy.app.handlers.render_cancel.append(lambda *_: broken_off.append(True))


def flush():
    """C's output is buffered when it goes to a pipe, and Python has a buffer of its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    C_LIBRARY.fflush(None)


def print_mark(mark, which):
    flush()
    os.write(1, ("%s %s\n" % (mark, which)).encode())


def libraries():
    return [bpy.path.abspath(library.filepath, library=library.parent) for library in bpy.data.libraries]


def refusal():
    """Why this file is not for a Blender that is kept; None when it is."""
    render = bpy.context.scene.render
    if render.use_single_layer:
        return "only the active view layer is rendered"
    if render.is_movie_format:
        return "the output is a movie"
    return None


def set_environment(changes):
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    # It keeps in mind what TMPDIR was, and that one has gone with its task.
    tempfile.tempdir = None


def render(first, last):
    """What `--render-frame first..last` does. The operator for still pictures does not: it leaves out the number."""
    operator = bpy.ops.render.render
    if "frame_start" in operator.get_rna_type().properties:
        result = operator(animation=True, frame_start=first, frame_end=last)
    else:
        scene = bpy.context.scene
        before = scene.frame_start, scene.frame_end
        scene.frame_start, scene.frame_end = first, last
        try:
            result = operator(animation=True)
        finally:
            scene.frame_start, scene.frame_end = before
    if broken_off:
        raise RuntimeError("the render was broken off")
    if "FINISHED" not in result:
        raise RuntimeError("the operator answered %r" % (result,))


def serve(request):
    set_environment(request["environment"])
    print_mark(request["mark"], "begin")
    error = None
    try:
        for first, last in request["frames"]:
            render(first, last)
    except Exception as raised:
        error = str(raised)
    print_mark(request["mark"], "end")
    return {"error": error, "libraries": libraries()}


def main():
    channel = socket.socket(fileno=int(os.environ.pop("FLAMENCO_CHANNEL")))
    channel.set_inheritable(False)
    lines = channel.makefile("rwb", buffering=0)

    def answer(values):
        lines.write(json.dumps(values).encode() + b"\n")

    flush()
    answer({"version": bpy.app.version, "refusal": refusal(), "libraries": libraries()})
    try:
        for line in lines:
            answer(serve(json.loads(line)))
    except OSError:
        # Nobody waits for the answer any more.
        pass


main()
