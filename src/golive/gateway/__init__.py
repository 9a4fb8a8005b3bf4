"""The HTTP faces of the server.

Owns routes, authentication at the door, reading bodies, writing answers and streams, the OpenAI face, OpenAPI and its
page. Carries out nothing itself: it speaks to the runtime, the relay, the keyring and the key administration.
"""
