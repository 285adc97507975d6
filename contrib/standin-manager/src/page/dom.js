// SPDX-License-Identifier: GPL-3.0-or-later
// The few ways this page touches its document. Text becomes text nodes, never markup.

import { ago, moment, visible } from "./text.js";

export const find = (id) => document.getElementById(id);

/** A new element with attributes and children; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Writes what somebody else named or said. Unchanged text is left alone: a selection in it stays, nothing is read out again. */
export function write(node, text) {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}

/** A name of somebody else's making, kept from turning the text around it. */
export function name(text) {
  const made = el("bdi");
  write(made, text);
  return made;
}

export function link(href, text, attributes = {}) {
  return el("a", { href, ...attributes }, name(text));
}

/** A status by word, with a dot that only repeats it. */
export function status(word) {
  const made = el("span", { class: "status" }, el("span", { class: "dot" }), el("span", { class: "word" }));
  setStatus(made, word);
  return made;
}

export function setStatus(made, word) {
  if (made.dataset.status !== word) made.dataset.status = word;
  write(made.querySelector(".word"), word || "registered");
}

/** A moment, told as the time since then; `tick` keeps it true. */
export function time(stamp) {
  const made = el("time");
  setTime(made, stamp);
  return made;
}

export function setTime(made, stamp) {
  const at = moment(stamp);
  if (at === null) {
    made.removeAttribute("datetime");
    write(made, "never");
  } else if (made.dateTime !== stamp) {
    made.dateTime = stamp;
    made.title = new Date(at).toLocaleString();
    write(made, ago(at));
  }
}

/** Brings all times up to date. */
export function tick() {
  for (const made of document.querySelectorAll("time[datetime]")) write(made, ago(moment(made.dateTime)));
}

/** Makes `nodes` the children of `parent`, moving only what is in the wrong place. */
export function place(parent, nodes) {
  nodes.forEach((node, at) => {
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] ?? null);
  });
  while (parent.children.length > nodes.length) parent.lastElementChild.remove();
}

/** A list that keeps one element per item, so that focus, scroll and selection outlive every refresh. */
export class Rows {
  #made = new Map();

  constructor(parent, make, key = (item) => item.id) {
    Object.assign(this, { parent, make, key });
  }

  /** `make(item)` gives `{ node, update(item) }`. */
  show(items) {
    const kept = new Map();
    for (const item of items) {
      const row = this.#made.get(this.key(item)) ?? this.make(item);
      row.update(item);
      kept.set(this.key(item), row);
    }
    this.#made = kept;
    place(this.parent, [...kept.values()].map((row) => row.node));
  }

  get(key) {
    return this.#made.get(key);
  }
}

/** Terms and what is to be said of them: `[["ID", node or text], ...]`. */
export function facts(list, entries) {
  const wanted = entries.filter(([, what]) => what != null && what !== "");
  const nodes = wanted.flatMap(([term, what]) => [
    el("dt", {}, term),
    el("dd", {}, typeof what === "string" ? name(what) : what),
  ]);
  nodes.forEach((node, at) => {
    const old = list.children[at];
    if (!old) list.append(node);
    else if (!old.isEqualNode(node)) old.replaceWith(node);
  });
  while (list.children.length > nodes.length) list.lastElementChild.remove();
}

/** Asks before something is lost. Escape and the first button keep it. */
export function confirmed(question, verb) {
  const dialog = find("confirm");
  write(find("confirm-text"), question);
  write(find("confirm-yes"), verb);
  return new Promise((resolve) => {
    const end = (answer) => () => {
      dialog.onclose = null;
      dialog.close();
      resolve(answer);
    };
    find("confirm-no").onclick = end(false);
    find("confirm-yes").onclick = end(true);
    dialog.onclose = end(false);
    dialog.showModal();
    find("confirm-no").focus();
  });
}
