"""An application of three modules that know event classes only, and web endpoints that call it.

`python -m examples.trading` trades once; `examples.trading.web` has the endpoints, in FastAPI and in Starlette.
"""
