// SPDX-License-Identifier: GPL-3.0-or-later
// The log on the screen. Only the lines in sight are elements, whatever its length; reading and searching are cut into slices
// between which the page answers.
//
//   Manager --pieces--> Log (lines) --in sight--> a few dozen elements
//                          '--slices--> matches

import { el, find, write } from "./dom.js";
import { Log } from "./log.js";
import { LogRows } from "./logrows.js";
import { count, size, visible } from "./text.js";

/** Height of a row in CSS pixels; the style sheet is told. */
const LINE = 20;
/** Lines above and below what is in sight. */
const MARGIN = 8;
/** Browsers stop growing an element at some 33 million pixels; past this, positions are in proportion. */
const TALLEST = 20_000_000;
/** Characters of a line that are shown; more would make the browser lay out megabytes. */
const WIDEST = 4_000;
const BETWEEN_LOOKS = { active: 700, resting: 5_000 };
/** How long the page may be busy at a time, milliseconds. */
const SLICE = 8;
const LINES_AT_ONCE = 500;

/** Where the style sheet wraps lines: what is sideways is out of reach for a thumb that scrolls. */
const NARROW = matchMedia("(max-width: 899px)");

const pause = () => new Promise((resolve) => setTimeout(resolve));

export class LogView {
  active = false;
  #log = null;
  #timer = null;
  #box = find("log");
  #space = this.#box.querySelector(".log-space");
  #rows = this.#box.querySelector(".log-rows");
  #layout = new LogRows();
  /** Characters beside each other; measured anew when the box has another width. */
  #columns = null;
  #follow = find("follow");
  #drawing = false;
  #top = 0;
  #query = null;
  #matches = [];
  #current = -1;
  #searched = 0;
  #searching = false;

  constructor() {
    this.#box.style.setProperty("--line", `${LINE}px`);
    this.#box.onscroll = () => this.#scrolled();
    new ResizeObserver(() => this.#resized()).observe(this.#box);
    this.#follow.onchange = () => this.#draw();
    const field = find("find");
    field.oninput = () => this.#look(field.value);
    field.onkeydown = (event) => {
      if (event.key === "Enter") this.#step(event.shiftKey ? -1 : 1);
    };
    find("find-on").onclick = () => this.#step(1);
    find("find-back").onclick = () => this.#step(-1);
  }

  /** The log of this task from its beginning; `null` shows none. */
  show(task) {
    clearTimeout(this.#timer);
    this.#log = task && new Log(task);
    this.#follow.checked = true;
    this.#top = this.#box.scrollTop = 0;
    this.#look(find("find").value);
    this.#draw();
    if (this.#log) this.#read(this.#log);
  }

  async #read(log) {
    try {
      while (log === this.#log && !document.hidden && (await log.more())) {
        if (log !== this.#log) return;
        if (this.#searched > log.lines.length) this.#look(find("find").value);
        this.#draw();
        this.#search();
        await pause();
      }
    } catch (error) {
      // The connection's banner speaks of that; a log that vanished was its job's.
      if (error.status === undefined) console.error(error);
    }
    if (log !== this.#log) return;
    const wait = this.active || log.lines.length === 0 ? BETWEEN_LOOKS.active : BETWEEN_LOOKS.resting;
    this.#timer = setTimeout(() => this.#read(log), wait);
  }

  get #lines() {
    return this.#log?.lines ?? [];
  }

  #scrolled() {
    const top = this.#box.scrollTop;
    // Only a person scrolls up; the box growing taller can move the end itself.
    const atEnd = top + this.#box.clientHeight > this.#box.scrollHeight - LINE;
    if (top < this.#top - 1 && !atEnd) this.#follow.checked = false;
    this.#top = top;
    this.#draw();
  }

  #resized() {
    this.#columns = null;
    this.#draw();
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const [lines, box] = [this.#lines, this.#box];
    const kept = this.#lineAt(this.#top);
    if (this.#lay()) this.#top = box.scrollTop = this.#layout.of(kept) * LINE;
    this.#foot();
    this.#space.style.height = `${this.#height}px`;
    if (this.#follow.checked) this.#top = box.scrollTop = this.#height;
    this.#top = box.scrollTop;
    const first = Math.max(0, this.#lineAt(this.#top) - MARGIN);
    const last = Math.min(lines.length, first + Math.ceil(box.clientHeight / LINE) + 2 * MARGIN);
    this.#rows.style.transform = `translateY(${this.#offset(first)}px)`;
    while (this.#rows.children.length < last - first) this.#rows.append(el("div", { class: "log-line" }));
    while (this.#rows.children.length > last - first) this.#rows.lastElementChild.remove();
    for (let at = first; at < last; at += 1) this.#fill(this.#rows.children[at - first], at);
  }

  /** Brings the rows up to date with the lines and the width. True: all lines are elsewhere now. */
  #lay() {
    const before = this.#layout.columns;
    this.#columns ??= NARROW.matches ? this.#measured() : Infinity;
    this.#layout.lay(this.#lines, this.#columns, WIDEST);
    return before !== this.#columns;
  }

  #measured() {
    const probe = el("span", {}, "0".repeat(100));
    probe.style.whiteSpace = "pre";
    const row = el("div", { class: "log-line" }, probe);
    this.#rows.append(row);
    const style = getComputedStyle(row);
    const room = row.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const wide = probe.getBoundingClientRect().width / probe.textContent.length;
    row.remove();
    return Math.max(1, Math.floor(room / wide));
  }

  get #height() {
    return Math.min(this.#layout.count * LINE, TALLEST);
  }

  #rowAt(top) {
    const real = this.#layout.count * LINE;
    if (real <= TALLEST) return Math.floor(top / LINE);
    const room = this.#box.clientHeight;
    return Math.round(((top / (TALLEST - room)) * (real - room)) / LINE);
  }

  /** The line at a scroll position, and a line's place inside the space. */
  #lineAt(top) {
    return this.#layout.lineAt(this.#rowAt(top));
  }

  #offset(line) {
    const row = this.#layout.of(line);
    if (this.#layout.count * LINE <= TALLEST) return row * LINE;
    return this.#top - (this.#rowAt(this.#top) - row) * LINE;
  }

  #fill(row, at) {
    const line = this.#lines[at];
    const found = this.#query !== null && this.#query.test(line);
    const current = at === this.#matches[this.#current];
    row.toggleAttribute("data-current", current);
    row.dataset.line = at + 1;
    row.style.height = this.#layout.wrapped ? `${(this.#layout.of(at + 1) - this.#layout.of(at)) * LINE}px` : "";
    const shown = visible(line.slice(0, WIDEST));
    if (found) row.replaceChildren(...marked(shown, this.#query));
    else if (row.textContent !== shown || row.childElementCount) row.textContent = shown;
    if (line.length > WIDEST) row.append(el("i", {}, ` … ${count(line.length - WIDEST, "more character")}`));
  }

  #foot() {
    const log = this.#log;
    const nothing = !log || (log.lines.length === 0 && log.bytes === 0);
    find("no-log").hidden = !nothing;
    const link = find("log-link");
    link.hidden = !log?.url;
    if (log?.url) link.href = log.url;
    const before = log?.skipped ? `, after ${size(log.skipped)} that are not shown here` : "";
    write(find("log-size"), nothing ? "" : `${count(log.lines.length, "line")}, ${size(log.bytes - log.skipped)}${before}`);
  }

  #look(text) {
    this.#query = text ? new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "i") : null;
    [this.#matches, this.#current, this.#searched] = [[], -1, 0];
    this.#told();
    this.#draw();
    this.#search();
  }

  /** From where the last search ended to the end of what is there. */
  async #search() {
    if (this.#searching) return;
    this.#searching = true;
    while (this.#query && this.#searched < this.#lines.length) {
      const until = performance.now() + SLICE;
      while (performance.now() < until && this.#searched < this.#lines.length) this.#searchSome();
      if (this.#current < 0 && this.#matches.length) this.#step(1);
      this.#told();
      await pause();
    }
    this.#searching = false;
  }

  #searchSome() {
    const [lines, end] = [this.#lines, Math.min(this.#searched + LINES_AT_ONCE, this.#lines.length)];
    for (let at = this.#searched; at < end; at += 1) {
      if (this.#query.test(lines[at])) this.#matches.push(at);
    }
    this.#searched = end;
  }

  #step(by) {
    const many = this.#matches.length;
    if (!many) return;
    this.#current = this.#current < 0 ? 0 : (this.#current + by + many) % many;
    this.#follow.checked = false;
    this.#goTo(this.#matches[this.#current]);
    this.#told();
  }

  #goTo(line) {
    this.#lay();
    const [real, room] = [this.#layout.count * LINE, this.#box.clientHeight];
    const scale = real <= TALLEST ? 1 : (TALLEST - room) / (real - room);
    this.#space.style.height = `${this.#height}px`;
    this.#top = this.#box.scrollTop = (this.#layout.of(line) * LINE - room / 2) * scale;
    this.#draw();
  }

  #told() {
    const many = this.#matches.length;
    const place = this.#current < 0 ? "" : `${this.#current + 1} of `;
    write(find("found"), this.#query ? `${place}${many ? count(many, "line") : "no match"}` : "");
    find("find-on").disabled = find("find-back").disabled = many === 0;
  }
}

/** The text with what was searched for marked in it. */
function marked(text, query) {
  const parts = [];
  const every = new RegExp(query.source, "gi");
  let from = 0;
  for (const { 0: hit, index } of text.matchAll(every)) {
    parts.push(text.slice(from, index), el("mark", {}, hit));
    from = index + hit.length;
  }
  parts.push(text.slice(from));
  return parts;
}
