// SPDX-License-Identifier: GPL-3.0-or-later
return ((rows) => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ground = dark ? ["#14161a", "#1c1f25", "#e7e8ea", "#9aa0ab"] : ["#f5f4f1", "#ffffff", "#23252b", "#686c75"];
  const colours = dark
    ? ["#7d828c", "#ff7b7b", "#55cf8d", "#f2be55", "#7fb0ff", "#b79dff", "#5cc8d8", "#e7e8ea"]
    : ["#23252b", "#c62f36", "#18804a", "#8f5e00", "#2f64c9", "#6d4cc0", "#0b7285", "#5f626b"];
  const style = (element, rules) => Object.assign(element.style, rules);
  style(document.body, { margin: 0, padding: "28px", background: ground[0] });
  const frame = document.createElement("pre");
  style(frame, { margin: 0, padding: "20px 24px", background: ground[1], color: ground[2], borderRadius: "12px",
    border: `1px solid ${dark ? "#2b2f37" : "#e7e4de"}`, width: "max-content", minHeight: "6em",
    font: "15px/1.45 'JetBrains Mono', 'DejaVu Sans Mono', monospace", fontVariantLigatures: "none" });
  for (const row of rows) {
    for (const [text, colour, bold, dim] of row) {
      const run = document.createElement("span");
      run.textContent = text;
      if (dim) run.style.color = ground[3];
      if (colour) run.style.color = colour.startsWith("#") ? colour : colours[Number(colour.slice(1)) % 8];
      if (bold) run.style.fontWeight = "700";
      frame.append(run);
    }
    frame.append("\n");
  }
  document.body.replaceChildren(frame);
  return [frame.offsetWidth + 56, frame.offsetHeight + 56];
})
