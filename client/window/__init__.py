"""The window: tiles come in, frames and commands go out.

app         `umwelt view`: opens the window or draws one picture, and reports what is missing
window      the Arcade window: its events and its frame loop
session     what the window knows and does, without drawing
timeline    the past: scrubbing and returning to the present
gui         Dear ImGui on arcade.gl
feed/       what to subscribe to, and how tiles become one frame
draw/       how a frame is drawn
input/      tools, keys, toolbar, palette, and steering a being
panels/     the panels and their dock
recording/  pictures, films and the bundled demo
"""
