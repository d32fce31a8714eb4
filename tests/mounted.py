"""Somebody else's FastAPI app with the hub mounted in it. Starlette does not run the lifespan of what is mounted."""

from __future__ import annotations

from fastapi import FastAPI

import tallycast.app


def create_app() -> FastAPI:
    """The app, with a path of its own, and the hub under /engage."""
    app = FastAPI()
    app.mount("/engage", tallycast.app.create_app())

    @app.get("/own")
    def own() -> str:
        return "mine"

    return app
