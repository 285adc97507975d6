// SPDX-License-Identifier: GPL-3.0-or-later
// Events are hints: they only mark what to fetch again. Marks within a moment are one fetch, and never are two fetches of the
// same thing under way; what nobody pushes (when a worker was last seen) comes with a slow round.

const MOMENT = 100;

export class Source {
  #load;
  #every;
  #timer = null;
  #due = Infinity;
  #running = false;
  #again = false;

  /** `load` fetches and shows; `every` is the slow round in milliseconds. */
  constructor(load, every) {
    this.#load = load;
    this.#every = every;
    document.addEventListener("visibilitychange", () => document.hidden || this.mark());
  }

  /** Something may have changed. */
  mark() {
    if (this.#running) this.#again = true;
    else this.#schedule(MOMENT);
  }

  /** For what a person waits for. */
  now() {
    if (this.#running) this.#again = true;
    else this.#schedule(0);
  }

  #schedule(wait) {
    const due = performance.now() + wait;
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#run(), wait);
  }

  async #run() {
    this.#due = Infinity;
    this.#running = true;
    this.#again = false;
    try {
      if (!document.hidden) await this.#load();
    } catch (error) {
      // Without an answer the connection's own banner speaks; anything else is a mistake of ours worth a line.
      if (error.status !== 0) console.error(error);
    }
    this.#running = false;
    this.#schedule(this.#again ? MOMENT : this.#every);
  }
}
