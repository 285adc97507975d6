# SPDX-License-Identifier: GPL-3.0-or-later
# The demonstration's scene: run once by Blender (3.4 and newer, without a screen), it saves the file that the tasks render.
# Arguments after "--": the blend file, the frames, the seconds one frame may take.
import sys
import time
from math import cos, pi, radians, sin

import bpy

path, frames, target = sys.argv[sys.argv.index("--") + 1:]
frames, target = int(frames), float(target)

bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene


def material(name, colour, roughness, metallic=0.0, glow=0.0):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    inputs = made.node_tree.nodes["Principled BSDF"].inputs
    inputs["Base Color"].default_value = (*colour, 1)
    inputs["Roughness"].default_value = roughness
    inputs["Metallic"].default_value = metallic
    # A surface that only scatters, or only mirrors, is smooth from the first sample on.
    shine = inputs.get("Specular IOR Level") or inputs.get("Specular")
    shine.default_value = 0.0
    emission = inputs.get("Emission Color") or inputs.get("Emission")
    emission.default_value = (*colour, 1)
    inputs["Emission Strength"].default_value = glow
    # Not a lamp to the others: choosing among many lamps is what makes few samples noisy.
    if hasattr(made.cycles, "emission_sampling"):
        made.cycles.emission_sampling = "NONE"
    elif hasattr(made.cycles, "sample_as_light"):
        made.cycles.sample_as_light = False
    return made


def dress(made, smooth=True):
    thing = bpy.context.object
    thing.data.materials.append(made)
    for polygon in thing.data.polygons:
        polygon.use_smooth = smooth
    return thing


# The pole in the middle, around which the camera goes.
bpy.ops.object.empty_add()
pole = bpy.context.object

bpy.ops.mesh.primitive_plane_add(size=400, location=(0, 0, -1))
dress(material("floor", (0.42, 0.46, 0.56), 0.0, 1.0), smooth=False)

bpy.ops.mesh.primitive_monkey_add(size=2.1, location=(0, 0, 0.25))
monkey = dress(material("flamingo", (0.95, 0.28, 0.38), 0.5, 0.0, 0.3))
monkey.modifiers.new("smooth", "SUBSURF").render_levels = 1

balls = 9
for at in range(balls):
    turn = 2 * pi * at / balls
    hue = at / balls
    colour = tuple(0.5 + 0.45 * cos(2 * pi * (hue + shift)) for shift in (0.0, 0.33, 0.67))
    radius = 0.34 + 0.12 * sin(3 * turn)
    bpy.ops.mesh.primitive_uv_sphere_add(
        segments=32, ring_count=16, radius=radius, location=(2.7 * cos(turn), 2.7 * sin(turn), radius - 1))
    dress(material(f"ball {at}", colour, 0.0, 1.0 if at % 3 == 0 else 0.0, 0.25 if at % 3 else 0.05))

bpy.ops.object.light_add(type="SUN", rotation=(radians(48), radians(8), radians(35)))
sun = bpy.context.object
sun.data.energy, sun.data.angle = 3.2, 0.0

bpy.ops.object.camera_add(location=(0, -7.2, 2.6), rotation=(radians(73), 0, 0))
camera = bpy.context.object
camera.data.lens = 46
camera.parent = pole
scene.camera = camera
pole.rotation_euler = (0, 0, radians(-40))
pole.keyframe_insert("rotation_euler", frame=1)
pole.rotation_euler = (0, 0, radians(320))
pole.keyframe_insert("rotation_euler", frame=frames + 1)
try:
    for curve in pole.animation_data.action.fcurves:
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
except AttributeError:
    pass  # Blender 5 keeps its curves elsewhere; the camera then eases in and out.

world = bpy.data.worlds.new("sky")
world.use_nodes = True
world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.045, 0.07, 0.14, 1)
world.cycles.sampling_method = "NONE"
scene.world = world

scene.frame_start, scene.frame_end = 1, frames
render = scene.render
render.resolution_x, render.resolution_y, render.resolution_percentage = 640, 360, 100
render.image_settings.file_format = "PNG"
render.use_file_extension = True
render.use_overwrite = False  # a task that is run again keeps what it had
scene.view_settings.view_transform = "Standard"
render.engine = "CYCLES"
cycles = scene.cycles
cycles.device = "CPU"
cycles.use_denoising = False
cycles.use_adaptive_sampling = False
cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 0, 3


def seconds(samples):
    cycles.samples = samples
    began = time.monotonic()
    bpy.ops.render.render()
    return time.monotonic() - began


seconds(1)  # the first one also loads what the others find loaded
once, more = seconds(1), seconds(5)
each = max((more - once) / 4, 0.001)
wanted = 1 + (target - once) / each
if wanted < 3:  # a slow or a busy machine: smaller pictures rather than coarser ones
    render.resolution_percentage = 75
    wanted *= 1.8
cycles.samples = max(3, min(128, int(wanted)))
bpy.ops.wm.save_as_mainfile(filepath=path, compress=False)
print(f"DEMO-SCENE samples={cycles.samples} version={bpy.app.version_string}", flush=True)
