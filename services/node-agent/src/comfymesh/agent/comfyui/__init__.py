"""Client of one ComfyUI server: what it says, how to ask it, and how a prompt is followed to its end.

`events` and `protocol` know the messages, `progress`, `outputs`, `outcome` and `classify` make sense of them; none
of these does IO. `http` and `socket` talk to the server, and `session` joins them into "run this graph".
"""
