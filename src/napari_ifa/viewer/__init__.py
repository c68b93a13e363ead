"""The napari side: it shows what the engine below computes and passes on what a person chooses.

``session`` holds what is open, ``scene`` alone touches the viewer's layers, the panels only show
the session and call it. Nothing here is imported before a person uses it.
"""
