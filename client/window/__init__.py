"""The window. Tiles come in, frames go out; people's hands go the other way.

    app        umwelt view: opens it, or draws one picture; a line for each thing that is missing
    window     the Arcade window: events in, frames out               keys        what keys do
    session    what the window knows and does, without a pixel        camera      where it looks
    feed       what is watched, and what came of it -> frame          gathering   from pieces to arrays
    stage      draws a frame: ground, layers, far, plants, monsters, finish, overlay (shaders/, programs, instances)
    looks      how things are shown                                   colours, sky, senses, torus   what several share
    gui        Dear ImGui on arcade.gl                                panels/     the panels and their dock
    tools      what hands do (palette, toolbar)                       inhabit, timeline   being somebody; the past
    recorder   pictures and films                                     demo, recording, make_demo   the bundled minute
"""
