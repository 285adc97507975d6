// SPDX-License-Identifier: GPL-3.0-or-later
// Words for people. Names, activities and logs were written by others: what they could hide is made visible here.

const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-Z\\^-~])/g;

// Controls, invisible characters, and those that turn the direction of all that follows. Joiners stay: emoji and
// several scripts need them. So does the tab.
const ODD = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Text without its colours and other terminal sequences. */
export const uncoloured = (text) => (text.includes("\u001b") ? text.replace(ANSI, "") : text);

/** Text in which every character that would not show is replaced by one that does. */
export const visible = (text) => String(text ?? "").replace(ODD, picture);

function picture(odd) {
  const code = odd.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u2039U+${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
}

const number = new Intl.NumberFormat("en");
export const count = (many, one, several = `${one}s`) => `${number.format(many)} ${many === 1 ? one : several}`;

/** A size in bytes, short. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** How long ago a moment (milliseconds) was. */
export function ago(then, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** Milliseconds of a timestamp, or null: absent, or the zero time of the Manager's language. */
export function moment(stamp) {
  const at = Date.parse(stamp ?? "");
  return Number.isNaN(at) || at <= 0 ? null : at;
}
