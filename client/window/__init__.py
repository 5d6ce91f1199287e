"""The window: shows a running world or a recording, and lets a person change it.

From the top down; a part imports only parts below it (pyproject.toml holds this as a contract):

app         `umwelt view`: opens the window or draws one picture, and reports what is missing
window      the Arcade window: the frame loop, and the events that it forwards
actions     what keys do;  pointer: what the mouse does over the world
captures    screenshots and recordings;  gui: Dear ImGui on arcade.gl;  navigation: moving the camera
panels/     the panels, the toolbar and the timeline strip, and the dock that arranges the panels
timeline    which tick is shown, playing the past, forking
input/      tools that change the world, steering a being, and the table of keys
recording/  encoding films; the file format of recorded worlds, and the bundled one
session     the state of one window: connection, selection, notices, the past
answers, notices, selection   parts of the session
draw/       how a frame is drawn
feed/       what to subscribe to, and how tiles become one frame
"""
