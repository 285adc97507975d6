# Makes a .blend in which something depends on the frame in every way that a kept Blender could get wrong.
# Arguments after `--`: where it goes, the library, the folder of the File Output node, what is special.
import sys

import bpy

blend, library, nodes, special = sys.argv[sys.argv.index("--") + 1:]
bpy.ops.wm.read_factory_settings(use_empty=False)
scene, render = bpy.context.scene, bpy.context.scene.render
if special == "library":
    cube = bpy.data.objects["Cube"]
    material = bpy.data.materials.new("linked")
    material.diffuse_color = (*map(float, nodes.split(",")), 1.0)
    cube.active_material = material
    cube.location.x = -2.0
    bpy.data.libraries.write(library, {cube})
    sys.exit(0)
render.engine = "BLENDER_WORKBENCH" if special == "fast" else "CYCLES"
scene.display.shading.color_type = "MATERIAL"
scene.cycles.samples = 2
scene.cycles.use_denoising = False
render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 48, 100
render.use_file_extension = True
render.use_overwrite = False
render.use_single_layer = special == "layer"

cube = bpy.data.objects["Cube"]
for frame, x in (1, 0.0), (4, 3.0):
    cube.location.x = x
    cube.keyframe_insert("location", frame=frame)
driver = cube.driver_add("rotation_euler", 2).driver
driver.type, driver.expression = "SCRIPTED", "frame * 0.3"
render.use_motion_blur = True

other = bpy.data.objects.new("other", bpy.data.cameras.new("other"))
other.location, other.rotation_euler = (0, 0, 12), (0, 0, 0.5)
scene.collection.objects.link(other)
for name, frame, camera in ("one", 1, scene.camera), ("two", 3, other):
    scene.timeline_markers.new(name, frame=frame).camera = camera

with bpy.data.libraries.load(library, link=True) as (there, linked):
    linked.objects = there.objects[:1]
scene.collection.objects.link(linked.objects[0])

scene.use_nodes = True
tree = scene.node_tree
output = tree.nodes.new("CompositorNodeOutputFile")
output.base_path, output.file_slots[0].path = nodes, "node"
tree.links.new(tree.nodes["Render Layers"].outputs["Image"], output.inputs[0])

text = bpy.data.texts.new("handler.py")
text.use_module = True
text.write(
    "import bpy\n"
    "def change(scene, *rest):\n"
    "    scene.render.resolution_x = 80 if scene.frame_current == 2 else 64\n"
    "bpy.app.handlers.frame_change_pre.append(change)\n"
    "bpy.app.handlers.render_init.append(lambda scene, *rest: change(scene))\n"
)
bpy.ops.wm.save_as_mainfile(filepath=blend)
