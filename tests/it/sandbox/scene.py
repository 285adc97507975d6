# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a small scene for Cycles with a File Output node, a simulation whose cache is on disk, and a script that runs when it
is loaded: `scene.py -- FILE SCRIPT`."""

import sys

import bpy

path, script = sys.argv[sys.argv.index("--") + 1 :]
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.samples = 1
scene.cycles.use_denoising = False
scene.render.resolution_x = scene.render.resolution_y = 16
scene.render.resolution_percentage = 100

cube = bpy.data.objects["Cube"]
bpy.context.view_layer.objects.active = cube
cloth = cube.modifiers.new("Cloth", "CLOTH")
cloth.point_cache.frame_start, cloth.point_cache.frame_end = 1, 3
cloth.point_cache.use_disk_cache = False

scene.use_nodes = True
nodes = scene.node_tree.nodes
output = nodes.new("CompositorNodeOutputFile")
output.base_path = "//nodes"
output.file_slots[0].path = "node"
layers = next(node for node in nodes if node.type == "R_LAYERS")
scene.node_tree.links.new(layers.outputs["Image"], output.inputs[0])

text = bpy.data.texts.new("at-load.py")
text.write(
    script
    + "\nimport bpy\n"
    + "for thing in bpy.data.objects:\n"
    + "    for modifier in thing.modifiers:\n"
    + "        if modifier.type == 'CLOTH':\n"
    + "            modifier.point_cache.use_external = False\n"
    + "            modifier.point_cache.use_disk_cache = True\n"
)
text.use_module = True
bpy.ops.wm.save_as_mainfile(filepath=path)
