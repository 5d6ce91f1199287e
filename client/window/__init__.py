"""The graphical window: displays a running world or a recording, and lets the user change the world.

Modules from the top layer down; each imports only modules below it (an import contract in pyproject.toml checks this):

app         `umwelt view`: opens the window or draws one picture, and reports missing packages or libraries
window      the Arcade window: the frame loop, and forwarding of its events
actions     what each key does;  pointer: what the mouse does over the world
captures    screenshots and recordings;  gui: Dear ImGui on arcade.gl;  navigation: moving the camera
panels/     the panels, the toolbar and the timeline strip, and the dock that arranges the panels
timeline    which tick is displayed, playing the past, starting a new run from a past tick (a fork)
input/      tools that change the world, steering a being, and the table of keys
recording/  encoding of GIF and MP4 files; the file format of recorded worlds, and the bundled recording
session     the state of one window: its connection to a world, the displayed tick, and the three that follow
answers     answers that are still awaited;  notices: messages to the user;  selection: the selected being
draw/       drawing a frame on the GPU
feed/       subscribing to tiles (squares of the world), and assembling them into one frame to draw
"""
