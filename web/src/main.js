// @license This bundle contains livekit-client, Apache-2.0, https://github.com/livekit/client-sdk-js
import { Room, RoomEvent, VideoPresets } from "livekit-client";
import { Camera } from "./camera.js";
import { Chat } from "./chat.js";
import { $ } from "./dom.js";
import { Pictures } from "./pictures.js";
import { Status } from "./status.js";

const ABOUT = {
  offline:
    "The built-in model reads QR and bar codes and text, names main colours and brightness, and tells what changed. It can mark what it read.",
};

const room = new Room({
  dynacast: true,
  videoCaptureDefaults: { resolution: VideoPresets.h720.resolution },
});
const chat = new Chat(room);
const pictures = new Pictures(room, chat, showSend);
const status = new Status(room, showSend);
const camera = new Camera(room, () => status.update());
let sending = false;

function showSend() {
  const something = $("question").value.trim() || pictures?.attached.length;
  $("send").disabled = sending || !something || !status.ready;
  for (const button of document.querySelectorAll("#suggestions button")) button.disabled = !status.ready;
}

async function send() {
  const text = $("question").value.trim();
  if ($("send").disabled) return;
  sending = true;
  $("question").value = "";
  showSend();
  try {
    const refused = pictures.attached.length > 0 && (await pictures.send(text)) === 0;
    if (text && !refused) await chat.ask(text);
  } finally {
    sending = false;
    showSend();
  }
}

$("composer").onsubmit = (event) => {
  event.preventDefault();
  send();
};
$("question").oninput = () => {
  chat.prepare();
  showSend();
};
for (const event of ["focusin", "pointerenter", "pointerdown"]) $("chat").addEventListener(event, () => chat.prepare());
$("question").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
};
$("suggestions").onclick = (event) => {
  if (event.target.tagName === "BUTTON") chat.ask(event.target.textContent);
};

for (const event of [
  RoomEvent.ConnectionStateChanged,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged,
])
  room.on(event, () => status.update());
room.on(RoomEvent.ParticipantDisconnected, () => {
  if (!status.agent) chat.settle();
});
room.on(RoomEvent.Disconnected, () => {
  chat.settle();
  status.fail("Disconnected. Is the demo still running? Then reload the page.");
});

async function join() {
  const response = await fetch("token", { cache: "no-store" });
  if (!response.ok) throw new Error(`no token: HTTP ${response.status}`);
  const { url, token, model } = await response.json();
  $("about").textContent = ABOUT[model] ?? `Answers come from ${model}.`;
  await room.connect(url, token);
  status.expectAgent();
  status.update();
  await camera.listCameras();
}

camera.show();
join().catch((error) => status.fail(`No connection: ${error.message}. Is the demo still running? Then reload the page.`));
