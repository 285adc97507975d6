// SPDX-License-Identifier: GPL-3.0-or-later
// The Manager's Socket.IO, as much of it as this page needs: protocol 2 over Engine.IO 3, text frames of one WebSocket.
//
//   <- 0{...}  <- 40   -> 421["/subscription",{...}]   <- 431["ok"]   <- 42["/jobs",{...}]   -> 2  <- 3

const PING = 25_000;
const SILENCE = 40_000;
const FIRST_RETRY = 400;
const LAST_RETRY = 5_000;

export class Push {
  #wanted = new Map();
  #socket = null;
  #acks = 0;
  #tries = 0;
  #retry = null;
  #ping = null;
  #heard = 0;

  /** `event(name, value)`; `ready()` after each subscription took hold; `lost()` when the connection is gone. */
  constructor({ event, ready, lost }) {
    Object.assign(this, { event, ready, lost });
    addEventListener("online", () => this.connect());
  }

  /** Now, whatever was planned. */
  connect() {
    if (this.#socket) return;
    clearTimeout(this.#retry);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket.io/?EIO=3&transport=websocket`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#frame(String(data));
    socket.onclose = () => this.#closed();
    this.#heard = performance.now();
    this.#ping = setInterval(() => this.#beat(), PING);
  }

  /** Replaces what `key` stands for; `null` ends it. */
  subscribe(key, what) {
    const before = this.#wanted.get(key);
    if (before) this.#send("unsubscribe", before);
    this.#wanted.delete(key);
    if (!what) return;
    this.#wanted.set(key, what);
    this.#send("subscribe", what);
  }

  #send(op, what) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#acks += 1;
    this.#socket.send(`42${this.#acks}${JSON.stringify(["/subscription", { op, ...what }])}`);
  }

  #beat() {
    if (performance.now() - this.#heard > SILENCE) this.#socket.close();
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send("2");
  }

  #frame(text) {
    this.#heard = performance.now();
    if (text.startsWith("40")) {
      for (const what of this.#wanted.values()) this.#send("subscribe", what);
    } else if (text.startsWith("43")) {
      this.#tries = 0;
      this.ready();
    } else if (text.startsWith("42")) {
      const [name, value] = JSON.parse(text.slice(2));
      this.event(name, value);
    }
  }

  #closed() {
    clearInterval(this.#ping);
    this.#socket = null;
    const longest = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.#tries);
    this.#tries += 1;
    this.#retry = setTimeout(() => this.connect(), longest * (0.5 + Math.random() / 2));
    this.lost();
  }
}
