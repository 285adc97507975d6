// SPDX-License-Identifier: GPL-3.0-or-later
// Where the lines of a log are on the screen: one row each, or as many as their text needs where it is wrapped. Reckoned from
// the characters, for only the lines in sight are elements.

const TAB = 8;

export class LogRows {
  columns = Infinity;
  /** The rows up to the end of each line; none where each line is one row. */
  #ends = [];
  #lines = [];

  /** With these lines, in rows of so many characters of which one is as wide as the next. */
  lay(lines, columns, widest) {
    const anew = columns !== this.columns || lines !== this.#lines;
    if (anew) [this.#ends, this.columns, this.#lines] = [[], columns, lines];
    if (columns === Infinity) return;
    for (let at = this.#ends.length; at < lines.length; at += 1) {
      this.#ends.push((this.#ends[at - 1] ?? 0) + Math.ceil(Math.max(1, cells(lines[at], widest)) / columns));
    }
  }

  get wrapped() {
    return this.columns !== Infinity;
  }

  get count() {
    return this.wrapped ? (this.#ends.at(-1) ?? 0) : this.#lines.length;
  }

  /** The first row of a line. */
  of(line) {
    return this.wrapped ? (this.#ends[line - 1] ?? 0) : line;
  }

  /** The line that a row belongs to. */
  lineAt(row) {
    if (!this.wrapped) return row;
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle] <= row) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** How many characters wide a line is, and what stands for its rest if it is longer than is shown. */
function cells(line, widest) {
  const shown = line.length > widest ? widest + 30 : line.length;
  if (!line.includes("\t")) return shown;
  let wide = 0;
  for (const part of line.slice(0, widest).split("\t")) wide = Math.ceil((wide + part.length + 1) / TAB) * TAB;
  return wide;
}
