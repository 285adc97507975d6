// SPDX-License-Identifier: GPL-3.0-or-later
// A task's log as lines, fetched piece by piece from where the last fetch ended.

import * as api from "./api.js";
import { uncoloured } from "./text.js";

/** Small enough to become lines within one blink. */
const PIECE = 1 << 19;
/** Of a longer log only the end is held; all of it is one click away. */
const HELD = 64 << 20;

export class Log {
  lines = [];
  /** Bytes before the first held line. */
  skipped = 0;
  /** Where the next piece begins. */
  #next = 0;
  /** What the Manager has, as far as is known. */
  #size = 0;
  #url = null;
  #rest = "";
  #decoder = new TextDecoder();

  constructor(task) {
    this.task = task;
  }

  get url() {
    return this.#url;
  }

  get bytes() {
    return this.#next;
  }

  /** Fetches one piece if there is one. True: lines came, there may be more at once. */
  async more() {
    if (this.#next >= this.#size && !(await this.#look())) return false;
    if (this.#next === 0 && this.#size > HELD) this.skipped = this.#next = this.#size - HELD;
    const end = Math.min(this.#next + PIECE, this.#size);
    this.#take(await api.bytes(this.#url, this.#next, end));
    return true;
  }

  async #look() {
    const info = await api.logInfo(this.task);
    if (!info) return false;
    // Shorter than it was: somebody began it anew.
    if (info.size < this.#next) this.#forget();
    [this.#url, this.#size] = [info.url, info.size];
    return this.#size > this.#next;
  }

  #forget() {
    [this.lines, this.skipped, this.#next, this.#rest, this.#decoder] = [[], 0, 0, "", new TextDecoder()];
  }

  #take(bytes) {
    const first = this.#next === this.skipped && this.skipped > 0;
    this.#next += bytes.length;
    const lines = uncoloured(this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop();
    // The cut goes through a line.
    if (first) lines.shift();
    for (const line of lines) this.lines.push(line);
  }
}
