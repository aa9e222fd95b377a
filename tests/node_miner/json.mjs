// JSON as section 2 narrows it: integers only, no name twice, bounded depth. JSON.parse accepts more than that.

const MAX_DEPTH = 8;
const NUMBER = /0(?![0-9])|[1-9][0-9]{0,15}/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\r\n]*/y;

export class Malformed extends Error {}

export function parse(bytes, limit = 1_048_576) {
  if (bytes.length > limit) throw new Malformed("message too large");
  let source;
  try {
    source = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed("not UTF-8");
  }
  let at = 0;

  const match = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    if (!found) throw new Malformed(`unexpected input at ${at}`);
    at = pattern.lastIndex;
    return found[0];
  };
  const peek = () => {
    match(SPACE);
    return source[at];
  };
  const expect = (character) => {
    if (peek() !== character) throw new Malformed(`expected ${character} at ${at}`);
    at += 1;
  };
  const string = () => {
    const value = JSON.parse(match(STRING));
    if (!value.isWellFormed()) throw new Malformed("lone surrogate");
    return value;
  };

  const value = (depth) => {
    const next = peek();
    if (next === '"') return string();
    if (next === "{" || next === "[") {
      if (depth === MAX_DEPTH) throw new Malformed("nested too deep");
      return next === "{" ? object(depth + 1) : array(depth + 1);
    }
    const number = Number(match(NUMBER));
    if (!Number.isSafeInteger(number) || !",]} \t\r\n".includes(source[at] ?? " ")) {
      throw new Malformed("only integers below 2^53 are allowed");
    }
    return number;
  };
  const array = (depth) => {
    const items = [];
    expect("[");
    if (peek() === "]") {
      at += 1;
      return items;
    }
    for (;;) {
      items.push(value(depth));
      if (peek() === "]") break;
      expect(",");
    }
    at += 1;
    return items;
  };
  const object = (depth) => {
    const entries = new Map();
    expect("{");
    if (peek() === "}") {
      at += 1;
      return {};
    }
    for (;;) {
      if (peek() !== '"') throw new Malformed("expected a name");
      const name = string();
      if (entries.has(name)) throw new Malformed("name given twice");
      expect(":");
      entries.set(name, value(depth));
      if (peek() === "}") break;
      expect(",");
    }
    at += 1;
    // Not an object literal: "__proto__" must stay an ordinary, unknown name.
    return Object.assign(Object.create(null), Object.fromEntries(entries));
  };

  const result = value(0);
  match(SPACE);
  if (at !== source.length) throw new Malformed("more than one document");
  return result;
}
