// SPDX-License-Identifier: GPL-3.0-or-later
// What happened, in one line at the foot of the page, read out politely; the last hundred are kept to look up.

import { el, find, name, write } from "./dom.js";

const KEPT = 100;

export function say(text) {
  write(find("message"), text);
  const at = new Date().toLocaleTimeString("en-GB");
  const list = find("message-list");
  list.prepend(el("li", {}, el("span", { class: "at" }, at), " ", name(text)));
  while (list.children.length > KEPT) list.lastElementChild.remove();
}
