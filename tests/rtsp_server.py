"""An RTSP server for tests, with GStreamer; run it with a Python that has Debian's ``gi``.

    /usr/bin/python3 rtsp_server.py PORT PATH CODEC [USER PASSWORD]

serves the clip PATH at ``/live``, in real time, from its beginning for the first client. CODEC is ``h264``
(an MP4 file) or ``jpeg`` (an AVI file). It prints a line when it is ready.
"""

import sys

import gi  # type: ignore[import-not-found]  # comes with Debian's python3-gi, not from PyPI

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402  # as above

LAUNCH = {
    "h264": "qtdemux ! h264parse ! video/x-h264,alignment=au ! rtph264pay name=pay0 pt=96 config-interval=1",
    "jpeg": "avidemux ! jpegparse ! rtpjpegpay name=pay0 pt=26",
}


def main() -> None:
    """Serve until killed."""
    port, path, codec, *login = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( filesrc location={path} ! {LAUNCH[codec]} )")
    factory.set_shared(True)
    if login:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login), token)
        server.set_auth(auth)
        factory.add_role_from_structure(
            Gst.Structure.new_from_string("viewer, media.factory.access=true, media.factory.construct=true")
        )
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
