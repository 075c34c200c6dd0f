import { ConnectionState } from "livekit-client";
import { $ } from "./dom.js";

const STATE_ATTRIBUTE = "lk.agent.state";
const AGENT_LATE_MS = 20_000;

/** Shows the state in one line, from the room alone. */
export class Status {
  constructor(room, onChange) {
    this.room = room;
    this.onChange = onChange;
    this.failure = null;
    this.hadAgent = false;
    this.late = false;
  }

  get agent() {
    return [...this.room.remoteParticipants.values()].find((each) => each.isAgent);
  }

  /** Whether an agent would receive a question now. */
  get ready() {
    const state = this.agent?.attributes[STATE_ATTRIBUTE];
    return this.room.state === ConnectionState.Connected && Boolean(state) && state !== "initializing";
  }

  fail(words) {
    this.failure = words;
    this.update();
  }

  /** Start to measure how long the agent takes to join. */
  expectAgent() {
    setTimeout(() => {
      this.late = true;
      this.update();
    }, AGENT_LATE_MS);
  }

  update() {
    const [state, words] = this.words();
    $("status").dataset.state = state;
    if ($("status-text").textContent !== words) $("status-text").textContent = words;
    this.hadAgent ||= this.ready;
    this.onChange(this.ready);
  }

  words() {
    if (this.failure) return ["bad", this.failure];
    if (this.room.state === ConnectionState.Reconnecting || this.room.state === ConnectionState.SignalReconnecting)
      return ["busy", "Connection lost, trying again…"];
    if (this.room.state !== ConnectionState.Connected) return ["busy", "Connecting…"];
    if (!this.agent && this.hadAgent) return ["bad", "The agent left. Reload the page to start again."];
    if (!this.ready && this.late) return ["bad", "No agent has come. Look at the terminal of the demo, then reload."];
    if (!this.ready) return ["busy", "Waiting for the agent…"];
    const state = this.agent.attributes[STATE_ATTRIBUTE];
    if (state === "thinking") return ["busy", "Looking…"];
    if (state === "speaking") return ["busy", "Answering…"];
    const me = this.room.localParticipant;
    const seen = [me.isCameraEnabled && "camera on", me.isScreenShareEnabled && "screen shared"].filter(Boolean);
    return ["ready", `Agent ready, ${seen.join(" and ") || "camera off"}`];
  }
}
