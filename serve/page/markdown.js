// Markdown as chat models write it, built of nodes: no text of a model is ever parsed as HTML.

const element = (tag, ...children) => {
  const e = document.createElement(tag);
  e.append(...children);
  return e;
};

const deepest = 8; // what is nested deeper is text

// render returns nodes for text, which may end anywhere: it is called again as more comes.
export function render(text, depth = 0) {
  const out = document.createDocumentFragment();
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; ) {
    const line = lines[i];
    const fence = line.match(/^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/);
    const heading = line.match(/^(#{1,6})\s+(.*)/);
    if (fence) {
      const code = [];
      while (++i < lines.length && !lines[i].trimStart().startsWith(fence[1])) code.push(lines[i]);
      i++;
      out.append(codeBlock(code.join("\n"), fence[2]));
    } else if (heading) {
      out.append(element(`h${Math.min(6, heading[1].length + 2)}`, ...inline(heading[2])));
      i++;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      out.append(element("hr"));
      i++;
    } else if (line.startsWith(">") && depth < deepest) {
      const quote = [];
      for (; i < lines.length && lines[i].startsWith(">"); i++) quote.push(lines[i].replace(/^>\s?/, ""));
      out.append(element("blockquote", render(quote.join("\n"), depth + 1)));
    } else if (bullet(line)) {
      i = list(out, lines, i);
    } else if (line.trim() === "") {
      i++;
    } else {
      const paragraph = [];
      for (; i < lines.length && lines[i].trim() !== "" && (!paragraph.length || !begins(lines[i])); i++) paragraph.push(lines[i]);
      out.append(element("p", ...inline(paragraph.join("\n"))));
    }
  }
  return out;
}

const bullet = (line) => line.match(/^(\s*)([-*+]|(\d{1,9})[.)])\s+(.*)/);
const begins = (line) => /^(#{1,6}\s|>| {0,3}(```|~~~))/.test(line) || bullet(line);

// list appends the list that begins at line i and returns the line after it. Deeper items become lists within.
function list(out, lines, i) {
  const first = bullet(lines[i]);
  const indent = first[1].length;
  const l = element(first[3] ? "ol" : "ul");
  if (first[3] && first[3] !== "1") l.start = Number(first[3]);
  let item = null;
  while (i < lines.length) {
    const b = bullet(lines[i]);
    if (b && b[1].length > indent + 1 && item) {
      i = list(item, lines, i);
    } else if (b && b[1].length >= indent && !b[3] === !first[3]) {
      l.append((item = element("li", ...inline(b[4]))));
      i++;
    } else if (!b && item && /^\s+\S/.test(lines[i])) {
      item.append("\n", ...inline(lines[i++].trim()));
    } else if (lines[i].trim() === "" && bullet(lines[i + 1] ?? "")?.[1].length >= indent) {
      i++;
    } else {
      break;
    }
  }
  out.append(l);
  return i;
}

function codeBlock(text, language) {
  const copy = element("button", "Copy");
  copy.type = "button";
  copy.className = "quiet copy-code";
  copy.setAttribute("aria-label", `Copy this ${language} code`.replace("  ", " "));
  return element("div", copy, element("pre", element("code", text)));
}

const marks = /(`+)([^`](?:.*?[^`])?)\1(?!`)|(\*\*|__)(?=\S)(.+?)\3|(\*|_)(?=[^\s*_])(.+?)\5(?!\w)|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/s;

function inline(text, depth = 0) {
  const out = [];
  for (let m; depth < deepest && (m = text.match(marks)); text = text.slice(m.index + m[0].length)) {
    const wordy = m[5] === "_" && /\w$/.test(text.slice(0, m.index)); // snake_case
    out.push(text.slice(0, m.index));
    if (wordy) out.push(m[0]);
    else if (m[1]) out.push(element("code", m[2]));
    else if (m[3]) out.push(element("strong", ...inline(m[4], depth + 1)));
    else if (m[5]) out.push(element("em", ...inline(m[6], depth + 1)));
    else out.push(link(m[7], m[8]));
  }
  out.push(text);
  return out;
}

function link(text, href) {
  const a = element("a", text);
  a.href = href; // http or https only: see marks
  a.target = "_blank";
  a.rel = "noopener noreferrer";
  return a;
}
