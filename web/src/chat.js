import { ConnectionState } from "livekit-client";
import { $, make } from "./dom.js";

const QUESTIONS = "lk.chat";
const ANSWERS = "lk.transcription";
const TYPING = "vision.typing";
const ASKED_BY = "vision.asked_by";
const ERROR = "vision.error";
const TYPING_EACH_MS = 2000; // the agent keeps the view at full size for longer than this
const NEAR_END_PX = 80;

/** The log of the conversation: questions go out on one topic, answers arrive on another. */
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

  /** Add an element at the end of the log; scroll to it if the end was visible. */
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

  /** Show a picture with a caption; a click enlarges it. */
  picture(url, words, { mine }) {
    const caption = make("figcaption", { textContent: words });
    const image = make("img", { src: url, alt: words, onload: () => this.#follow() });
    const open = make("button", { type: "button", title: "Show it large", onclick: () => enlarge(url, caption) }, image);
    image.onerror = () => open.remove(); // no picture: only the caption stays
    this.add(make("figure", { className: `picture ${mine ? "mine" : "theirs"}` }, open, caption));
    return caption;
  }

  /** Stop waiting for an answer. */
  settle() {
    this.waiting?.remove();
    this.waiting = null;
  }

  async #onAnswer(reader, identity) {
    const me = this.room.localParticipant.identity;
    if (identity === me) return;
    const { [ASKED_BY]: askedBy = me, [ERROR]: error } = reader.info.attributes ?? {};
    const forMe = askedBy === me;
    let message = null;
    try {
      for await (const piece of reader) {
        if (!message) {
          message = make("p", { className: error ? "note bad" : "message theirs" });
          if (!forMe) message.append(make("span", { className: "to", textContent: `To ${askedBy}: ` }));
          this.add(message);
          if (forMe) this.settle();
        }
        message.append(piece);
        this.#follow();
      }
    } catch {
      this.note("The answer stopped early.", true);
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
