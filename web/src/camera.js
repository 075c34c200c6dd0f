import { Room, RoomEvent, Track } from "livekit-client";
import { $, make } from "./dom.js";

/** What went wrong with a camera or a screen, and what to do. */
export function cameraTrouble(error) {
  if (!window.isSecureContext)
    return "Browsers give the camera only to secure pages: open this one as http://localhost, not by the machine's address.";
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "The browser does not allow the camera. Allow it with the camera icon beside the address, then try again.";
    case "NotFoundError":
    case "DevicesNotFoundError":
      return "No camera was found. Plug one in and try again, or share your screen, or add a picture to the chat.";
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return "The camera can't be read: another program may be using it. Close that program and try again.";
    case "OverconstrainedError":
      return "That camera is gone. Choose another one.";
    default:
      return `The camera did not start (${error?.message || error}). Try again or choose another one.`;
  }
}

/** The camera's button, its picker, screen sharing, and the previews. */
export class Camera {
  constructor(room, onChange) {
    this.room = room;
    this.onChange = onChange;
    this.starting = false;
    $("camera").onclick = () => this.setCamera(!room.localParticipant.isCameraEnabled);
    $("camera-first").onclick = () => this.setCamera(true);
    $("cameras").onchange = () => this.choose($("cameras").value);
    $("screen").onclick = () => this.setScreen(!room.localParticipant.isScreenShareEnabled);
    $("screen").hidden = !navigator.mediaDevices?.getDisplayMedia;
    navigator.mediaDevices?.addEventListener("devicechange", () => this.listCameras());
    for (const event of [
      RoomEvent.LocalTrackPublished,
      RoomEvent.LocalTrackUnpublished,
      RoomEvent.TrackMuted,
      RoomEvent.TrackUnmuted,
    ])
      room.on(event, () => this.show());
    room.on(RoomEvent.MediaDevicesError, (error) => this.tell(cameraTrouble(error)));
  }

  async setCamera(on) {
    await this.#attempt(async () => {
      if (!navigator.mediaDevices) throw new Error("this browser offers none to this page");
      await this.room.localParticipant.setCameraEnabled(on);
    });
    await this.listCameras();
  }

  async setScreen(on) {
    await this.#attempt(
      () => this.room.localParticipant.setScreenShareEnabled(on),
      (error) => (error.name === "NotAllowedError" ? null : `The screen can't be shared: ${error.message}.`),
    );
  }

  async choose(deviceId) {
    await this.#attempt(() => this.room.switchActiveDevice("videoinput", deviceId));
    await this.listCameras();
  }

  async #attempt(action, words = cameraTrouble) {
    this.tell(null);
    this.starting = true;
    this.show();
    try {
      await action();
    } catch (error) {
      this.tell(words(error));
    } finally {
      this.starting = false;
      this.show();
    }
  }

  async listCameras() {
    if (!navigator.mediaDevices) return;
    const devices = (await Room.getLocalDevices("videoinput", false)).filter((each) => each.deviceId);
    const track = this.room.localParticipant.getTrackPublication(Track.Source.Camera)?.track;
    const active = (await track?.getDeviceId()) ?? this.room.getActiveDevice("videoinput");
    $("cameras").replaceChildren(
      ...devices.map((each, n) =>
        make("option", {
          value: each.deviceId,
          selected: each.deviceId === active,
          textContent: each.label || `Camera ${n + 1}`,
        }),
      ),
    );
    $("picker").hidden = devices.length < 2;
  }

  tell(words) {
    $("trouble").textContent = words ?? "";
    $("trouble").hidden = !words;
  }

  show() {
    const me = this.room.localParticipant;
    const camera = this.#preview(Track.Source.Camera, "camera", me.isCameraEnabled);
    const screen = this.#preview(Track.Source.ScreenShare, "screen", me.isScreenShareEnabled);
    $("no-view").hidden = camera || screen;
    $("no-view-title").textContent = this.starting ? "Starting…" : "The camera is off";
    $("views").dataset.shown = camera && screen ? "both" : camera || screen ? "one" : "none";
    for (const [id, on] of [
      ["camera", camera],
      ["screen", screen],
    ]) {
      $(id).ariaPressed = String(on);
      $(id).disabled = this.starting;
    }
    $("camera-first").disabled = this.starting;
    $("camera").querySelector("use").setAttribute("href", camera ? "#i-camera-off" : "#i-camera");
    $("camera").querySelector("span").textContent = camera ? "Turn off" : "Camera";
    $("screen").querySelector("span").textContent = screen ? "Stop sharing" : "Share screen";
    this.onChange();
  }

  #preview(source, name, enabled) {
    const track = this.room.localParticipant.getTrackPublication(source)?.track;
    const on = Boolean(enabled && track);
    $(`${name}-view`).hidden = !on;
    if (on) track.attach($(`${name}-video`));
    return on;
  }
}
