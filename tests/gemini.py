"""A server on loopback that speaks Gemini's wire format and answers from the pixels it gets."""

from __future__ import annotations

import base64
import io
import json
from types import TracebackType
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from vision_agent.models.reading import read_codes

KEY = "a-key-of-the-test"
# Protocol Buffers JSON parsers take both spellings of a field, and the client sends both
_SPELLINGS = {"mime_type": "mimeType", "file_uri": "fileUri", "function_declarations": "functionDeclarations"}


class GeminiServer:
    """``POST /<version>/models/<model>:streamGenerateContent``, server-sent events back.

    It says the codes in the last turn's pictures, and repeats a line that says why there is no picture. If
    the request offers a tool and the question names it, it calls the tool with what it has read.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.requests: list[dict[str, Any]] = []
        self.failures: list[int] = []
        """HTTP status of each of the next answers, which hold an error."""
        app = web.Application(client_max_size=100_000_000)
        app.router.add_post(r"/{version}/models/{model}:streamGenerateContent", self._generate)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> GeminiServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("x-goog-api-key") != KEY:
            error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}
            return web.json_response({"error": error}, status=400)
        if self.failures:
            status = self.failures.pop(0)
            error = {"code": status, "message": "It can't be answered.", "status": "UNAVAILABLE"}
            return web.json_response({"error": error}, status=status)
        body = json.loads(
            await request.text(), object_hook=lambda each: {_SPELLINGS.get(k, k): v for k, v in each.items()}
        )
        self.requests.append(body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        parts = reply(body)
        for n, part in enumerate(parts):
            candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
            if n == len(parts) - 1:
                candidate["finishReason"] = "STOP"
            event = {"candidates": [candidate], "modelVersion": request.match_info["model"]}
            await response.write(f"data: {json.dumps(event)}\r\n\r\n".encode())
        return response


def reply(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of the answer to a request."""
    asked = body["contents"][-1]["parts"]
    results = [part["functionResponse"]["response"] for part in asked if "functionResponse" in part]
    if results:
        return [{"text": f"The tool said: {results[0]['output']}"}]
    lines = [part["text"] for part in asked if "text" in part]
    codes = [mark.text for picture in pictures(asked) for mark in read_codes(picture)]
    for tool in body.get("tools", []):
        for declared in tool.get("functionDeclarations", []):
            if any(declared["name"] in line for line in lines) and codes:
                return [{"functionCall": {"name": declared["name"], "args": {"code": codes[0]}}}]
    told = [line for line in lines if line.startswith("[no picture")]
    words = f"The code says {', '.join(codes)}." if codes else " ".join(told) or "I see no code."
    return [{"text": word} for word in words.partition("says ") if word]


def pictures(parts: list[dict[str, Any]]) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Decode the pictures of a turn; the type the request names must be the one the bytes have."""
    found = []
    for part in parts:
        if "inlineData" not in part:
            continue
        packet = base64.b64decode(part["inlineData"]["data"], altchars=b"-_", validate=True)
        with Image.open(io.BytesIO(packet)) as opened:
            assert part["inlineData"]["mimeType"] == Image.MIME[opened.format or ""]
            found.append(np.asarray(opened.convert("RGB"), dtype=np.uint8))
    return found
