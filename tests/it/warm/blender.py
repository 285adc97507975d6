#!/usr/bin/env python3
# As much of Blender as a driver script and a render need. The .blend is JSON: what happens at which frame.
#   {"refuse": "layer" | "movie", "version": [3, 4, 1], "libraries": [...], "at": {"3": "die", ...}}
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import types

words = sys.argv[1:]
blend = next(word for word in words if word.endswith(".blend"))
pattern = words[words.index("--render-output") + 1]
file = json.load(open(blend))
folder = os.path.dirname(blend)
warm = "--python" in words


def note(name):
    with open(os.path.join(folder, name), "a") as notes:
        notes.write("%d %s\n" % (os.getpid(), os.environ.get("FLAMENCO_TASK_ID")))


def render(first, last):
    for frame in range(first, last + 1):
        print("frame %d of %s, files in %s" % (frame, os.environ["FLAMENCO_TASK_ID"], os.path.isdir(os.environ["TMPDIR"])))
        os.close(tempfile.mkstemp()[0])
        path = pattern.replace("######", "%06d" % frame) + ".png"
        deed = file.get("at", {}).get(str(frame))
        once = os.path.join(folder, "done-%d" % frame)
        is_first = not os.path.exists(once)
        open(once, "w").close()
        if deed == "die" and is_first or deed == "die always" and warm:
            open(os.path.join(os.environ["BLENDER_TMPDIR"], "x.crash.txt"), "w").write("# backtrace of %d" % frame)
            picture = open(path, "wb")
            picture.write(b"half")
            picture.flush()
            os.kill(os.getpid(), 9)
        if deed == "error" and warm:
            raise RuntimeError("Error: no camera")
        if deed == "error":
            print("Error: no camera")
            sys.exit(1)
        if deed == "garbage" and warm:
            os.write(channel(), b"garbage\n")
        if deed == "spawn":
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
        if deed == "fat":
            globals()["fat"] = bytearray(os.urandom(1 << 20) * 256)
        if deed == "wait":
            print("waiting", flush=True)
            while not os.path.exists(os.path.join(folder, "go")) and not broken:
                time.sleep(0.01)
        if broken:
            # As Blender does: the render is over, and nothing has failed.
            print("Cancelled")
            for handler in bpy.app.handlers.render_cancel if warm else []:
                handler(None)
            return
        with open(path, "wb") as picture:
            picture.write(b"whole %d" % frame)
        print("Saved: '%s'" % path)
        print(" Time: 00:00.01 (Saving: 00:00.00)")
        sys.stdout.write("unfinished line")


broken = []


def on_interrupt(*_):
    print("Sent an internal break event. Press ^C again to kill Blender")
    broken.append(True)


signal.signal(signal.SIGINT, on_interrupt)


def channel():
    for name in os.listdir("/proc/self/fd"):
        if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
            return int(name)


print("Read blend: " + blend, flush=True)
note("loads")
# Where Blender has its session, for all of its life.
os.environ["BLENDER_TMPDIR"] = os.environ["TMPDIR"]
if file.get("load") == "wait":
    print("loading", flush=True)
    while True:
        time.sleep(0.01)
if not warm:
    frames = words[words.index("--render-frame") + 1]
    render(int(frames), int(frames))
    sys.exit(0)


class Operator:
    def __call__(self, animation, frame_start=None, frame_end=None):
        scene = bpy.context.scene
        render(scene.frame_start, scene.frame_end) if frame_start is None else render(frame_start, frame_end)
        return {"FINISHED"}

    def get_rna_type(self):
        names = ["animation"] + (["frame_start", "frame_end"] if file.get("version", [3])[0] >= 5 else [])
        return types.SimpleNamespace(properties=dict.fromkeys(names))


bpy = types.ModuleType("bpy")
handlers = types.SimpleNamespace(render_cancel=[])
bpy.app = types.SimpleNamespace(version=tuple(file.get("version", [3, 4, 1])), handlers=handlers)
settings = types.SimpleNamespace(use_single_layer=file.get("refuse") == "layer", is_movie_format=file.get("refuse") == "movie")
bpy.context = types.SimpleNamespace(scene=types.SimpleNamespace(render=settings, frame_start=1, frame_end=250))
libraries = [types.SimpleNamespace(filepath=path, parent=None) for path in file.get("libraries", [])]
bpy.data = types.SimpleNamespace(libraries=libraries)
bpy.path = types.SimpleNamespace(abspath=lambda path, library: path)
bpy.ops = types.SimpleNamespace(render=types.SimpleNamespace(render=Operator()))
sys.modules["bpy"] = bpy
if "--log" in words:
    note("asked-to-log")
script = words[words.index("--python") + 1]
exec(compile(open(script).read(), script, "exec"), {"__name__": "__main__"})
while file.get("quit") == "never":
    time.sleep(1)
print("Blender quit", flush=True)
note("quits")
