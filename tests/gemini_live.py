"""A server on loopback that speaks Gemini Live's wire format over TLS and answers from the frames."""

from __future__ import annotations

import base64
import json
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme
from aiohttp import WSMsgType, web

from vision_agent.imaging.frame import decode_jpeg
from vision_agent.models.reading import read_codes

PATH = r"/{any:/?}ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"


def field(message: dict[str, Any], name: str) -> Any:
    """Return a field by its Python name; the client uses both spellings of Protocol Buffers."""
    head, *rest = name.split("_")
    return message.get(name, message.get(head + "".join(part.capitalize() for part in rest)))


class GeminiLiveServer:
    """Takes frames and text; it answers a completed turn with the codes in the newest frame.

    Args:
        folder: Where the certificate of the server's own authority goes.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.certificate = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.certificate))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)
        self.base_url = ""
        self.frames: list[tuple[float, list[str], tuple[int, int]]] = []  # when, codes, width and height
        self.texts: list[str] = []
        app = web.Application()
        app.router.add_get(PATH, self._talk)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> GeminiLiveServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.base_url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=10_000_000)
        await socket.prepare(request)
        async for raw in socket:
            if raw.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            message = json.loads(raw.data)
            if "setup" in message:
                await socket.send_json({"setupComplete": {}})
            if (said := field(message, "realtime_input")) is not None and "video" in said:
                self._see(said["video"])
            if (content := field(message, "client_content")) is not None:
                for turn in content.get("turns") or []:
                    self.texts += [part["text"] for part in turn.get("parts", []) if "text" in part]
                if field(content, "turn_complete"):
                    await self._answer(socket)
        return socket

    def _see(self, video: dict[str, Any]) -> None:
        assert field(video, "mime_type") == "image/jpeg"
        rgb = decode_jpeg(base64.b64decode(video["data"], altchars=b"-_"))
        self.frames.append(
            (time.monotonic(), [mark.text for mark in read_codes(rgb)], (rgb.shape[1], rgb.shape[0]))
        )

    async def _answer(self, socket: web.WebSocketResponse) -> None:
        told = [text for text in self.texts if text.startswith("[")]
        if told and told[-1].startswith("[no picture"):
            words = f"I see nothing: {told[-1]}"
        else:
            words = f"The code says {', '.join(self.frames[-1][1])}." if self.frames else "I see nothing."
        await socket.send_json(
            {"serverContent": {"modelTurn": {"role": "model", "parts": [{"text": words}]}}}
        )
        await socket.send_json({"serverContent": {"generationComplete": True}})
        await socket.send_json({"serverContent": {"turnComplete": True}})
