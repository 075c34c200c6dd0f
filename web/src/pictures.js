import { $, make } from "./dom.js";

const UPLOADS = "images";
const RESULTS = "images.result";
const FROM_AGENT = "agent-images";
const RESULT_WAIT_MS = 40_000;

/** Pictures in both directions: uploads with the agent's verdict on each, and the agent's marked pictures. */
export class Pictures {
  constructor(room, chat, onChange) {
    this.room = room;
    this.chat = chat;
    this.onChange = onChange;
    this.attached = [];
    this.waiting = new Map(); // stream id -> resolve
    this.early = new Map(); // stream id -> verdict that arrived before we knew the id
    room.registerByteStreamHandler(FROM_AGENT, (reader) => this.#onPicture(reader));
    room.registerTextStreamHandler(RESULTS, (reader) => this.#onResult(reader));
    $("attach").onclick = () => $("file").click();
    $("file").onchange = () => {
      this.attach($("file").files);
      $("file").value = "";
    };
    document.addEventListener("paste", (event) => {
      if (event.clipboardData?.files.length) {
        event.preventDefault();
        this.attach(event.clipboardData.files);
      }
    });
    this.#acceptDrops();
  }

  attach(files) {
    for (const file of files) this.attached.push({ file, url: URL.createObjectURL(file) });
    this.#showAttached();
    $("question").focus();
  }

  /** Send the attached pictures; resolves when the agent has judged each. Returns how many it accepted. */
  async send(caption) {
    const batch = this.attached.splice(0);
    this.#showAttached();
    const verdicts = await Promise.all(batch.map((each) => this.#upload(each, caption)));
    return verdicts.filter(Boolean).length;
  }

  async #upload({ file, url }, caption) {
    const line = this.chat.picture(url, `Sending ${file.name}…`, { mine: true });
    let verdict;
    try {
      const info = await this.room.localParticipant.sendBytes(new Uint8Array(await file.arrayBuffer()), {
        topic: UPLOADS,
        name: file.name,
        mimeType: file.type || "application/octet-stream",
        attributes: caption ? { caption } : {},
        compress: false,
        onProgress: (share) => (line.textContent = `Sending ${file.name}, ${Math.round(share * 100)} %`),
      });
      verdict = await this.#verdict(info.id);
    } catch (error) {
      verdict = { accepted: false, reason: error.message };
    }
    line.className = verdict.accepted ? "good" : "bad";
    line.textContent = verdict.accepted
      ? `${file.name}: the agent has it`
      : `${file.name} was not taken: ${verdict.reason}`;
    return verdict.accepted;
  }

  #verdict(id) {
    const early = this.early.get(id);
    if (this.early.delete(id)) return early;
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => resolve({ accepted: false, reason: "the agent did not answer in time" }),
        RESULT_WAIT_MS,
      );
      this.waiting.set(id, (verdict) => {
        clearTimeout(timer);
        this.waiting.delete(id);
        resolve(verdict);
      });
    });
  }

  async #onResult(reader) {
    const verdict = JSON.parse(await reader.readAll());
    const resolve = this.waiting.get(verdict.stream_id);
    if (resolve) resolve(verdict);
    else this.early.set(verdict.stream_id, verdict);
  }

  async #onPicture(reader) {
    const { mimeType, attributes = {} } = reader.info;
    const url = URL.createObjectURL(new Blob(await reader.readAll(), { type: mimeType }));
    this.chat.picture(url, describe(attributes), { mine: false });
  }

  #showAttached() {
    $("attached").hidden = this.attached.length === 0;
    $("attached").replaceChildren(
      ...this.attached.map((each) =>
        make(
          "button",
          {
            type: "button",
            title: `Take ${each.file.name} away`,
            ariaLabel: `Take ${each.file.name} away`,
            onclick: () => {
              this.attached.splice(this.attached.indexOf(each), 1);
              this.#showAttached();
            },
          },
          make("img", { src: each.url, alt: "", onerror: (event) => event.target.replaceWith(each.file.name) }),
        ),
      ),
    );
    this.onChange();
  }

  #acceptDrops() {
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    let depth = 0; // dragenter and dragleave fire for every nested element
    document.addEventListener("dragenter", (event) => {
      if (holdsFiles(event)) $("drop").hidden = ++depth === 0;
    });
    document.addEventListener("dragleave", (event) => {
      if (holdsFiles(event)) $("drop").hidden = --depth <= 0;
    });
    document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth = 0;
      $("drop").hidden = true;
      this.attach(event.dataTransfer.files);
    });
  }
}

/** What the agent says about its picture, in words: view, time, size; then all others, but not who asked: we did. */
function describe({ view, time, size, turn, boxes, asked_by: _, ...rest }) {
  const seen = time && !Number.isNaN(Date.parse(time)) ? `seen ${new Date(time).toLocaleTimeString()}` : time;
  const others = Object.entries(rest).map(([name, value]) => `${name}: ${value}`);
  return (
    [view, seen, size?.replace("x", "\u00a0×\u00a0"), turn && `question ${turn}`, ...others].filter(Boolean).join(" · ") ||
    "a picture from the agent"
  );
}
