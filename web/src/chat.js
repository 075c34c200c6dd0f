import { ConnectionState } from "livekit-client";
import { $, make } from "./dom.js";

const QUESTIONS = "lk.chat";
const ANSWERS = "lk.transcription";
const TYPING = "vision.typing";
const TYPING_EACH_MS = 2000; // the agent looks closely for longer than that
const NEAR_END_PX = 80;

/** The log of the conversation: questions go out on one topic, answers stream in on the other. */
export class Chat {
  constructor(room) {
    this.room = room;
    this.waiting = null;
    this.toldMs = 0;
    room.registerTextStreamHandler(ANSWERS, (reader, from) => this.#onAnswer(reader, from.identity));
  }

  /** Tell the agent that a question may come, so that the camera is at full size when it does. */
  prepare() {
    if (this.room.state !== ConnectionState.Connected || Date.now() - this.toldMs < TYPING_EACH_MS) return;
    this.toldMs = Date.now();
    this.room.localParticipant.publishData(new Uint8Array(), { topic: TYPING, reliable: true }).catch(() => {});
  }

  async ask(text) {
    this.add(make("p", { className: "message mine", textContent: text }));
    this.waiting?.remove();
    this.waiting = this.add(make("p", { className: "message theirs waiting", ariaLabel: "The agent is looking" }));
    try {
      await this.room.localParticipant.sendText(text, { topic: QUESTIONS });
    } catch {
      this.settle();
      this.note("The question could not be sent. Check the status above and ask again.", true);
    }
  }

  /** Put an element at the end of the log, and keep the end in sight if it was. */
  add(element) {
    $("welcome")?.remove();
    const log = $("log");
    const follow =
      element.classList.contains("mine") || log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
    if (this.waiting && this.waiting !== element && !element.classList.contains("mine")) this.waiting.before(element);
    else log.append(element);
    if (follow) log.scrollTop = log.scrollHeight;
    return element;
  }

  note(words, bad = false) {
    this.add(make("p", { className: bad ? "note bad" : "note", textContent: words }));
  }

  /** Show a picture with words under it; a click shows it large. */
  picture(url, words, { mine }) {
    const caption = make("figcaption", { textContent: words });
    const image = make("img", { src: url, alt: words, onload: () => this.#follow() });
    const open = make("button", { type: "button", title: "Show it large", onclick: () => enlarge(url, caption) }, image);
    image.onerror = () => open.remove(); // no picture: the words are what is left
    this.add(make("figure", { className: `picture ${mine ? "mine" : "theirs"}` }, open, caption));
    return caption;
  }

  /** No answer is to be waited for any more. */
  settle() {
    this.waiting?.remove();
    this.waiting = null;
  }

  async #onAnswer(reader, identity) {
    if (identity === this.room.localParticipant.identity) return;
    let message = null;
    try {
      for await (const piece of reader) {
        if (!message) {
          message = make("p", { className: "message theirs" });
          this.add(message);
          this.settle();
        }
        message.textContent += piece;
        this.#follow();
      }
    } catch {
      this.note("The answer broke off.", true);
    }
  }

  #follow() {
    const log = $("log");
    if (log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX + 320) log.scrollTop = log.scrollHeight;
  }
}

function enlarge(url, caption) {
  const viewer = $("viewer");
  Object.assign(viewer.querySelector("img"), { src: url, alt: caption.textContent });
  viewer.querySelector("p").textContent = caption.textContent;
  viewer.showModal();
}
