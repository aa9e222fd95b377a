// Big-endian integers, hashes, Merkle trees and the digests of docs/protocol.md, section 3.
import { createHash, createHmac } from "node:crypto";

export const hash = (...parts) => {
  const state = createHash("sha256");
  for (const part of parts) state.update(part);
  return state.digest();
};
export const text = (value) => Buffer.from(value, "utf8");
export const hex = (value) => Buffer.from(value, "hex");
export const u8 = (value) => Buffer.from([value]);
export const u16 = (value) => {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
};
export const u32 = (value) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
export const u64 = (value) => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(value));
  return out;
};
export const domain = (name) => text(`assay/${name}/1\0`);

export const leaf = (data) => hash(u8(0), data);

export function levels(leaves) {
  const rows = [leaves];
  while (rows.at(-1).length > 1) {
    const row = rows.at(-1);
    const above = [];
    for (let i = 0; i + 1 < row.length; i += 2) above.push(hash(u8(1), row[i], row[i + 1]));
    if (row.length % 2) above.push(row.at(-1));
    rows.push(above);
  }
  return rows;
}

export const root = (leaves) => (leaves.length ? levels(leaves).at(-1)[0] : hash(""));

export function path(leaves, index) {
  const siblings = [];
  for (const row of levels(leaves).slice(0, -1)) {
    if ((index ^ 1) < row.length) siblings.push(row[index ^ 1]);
    index >>= 1;
  }
  return siblings;
}

export function tokenCommitment(tokens) {
  const leaves = [];
  for (let start = 0; start < tokens.length; start += 64) {
    const shown = Array.from({ length: 64 }, (_, i) => u32(tokens[start + i] ?? 0));
    leaves.push(leaf(Buffer.concat([u32(start / 64), ...shown])));
  }
  return Buffer.concat([u32(tokens.length), root(leaves)]);
}

export function extensionsDigest(extensions) {
  const entries = Object.entries(extensions)
    .map(([key, value]) => [text(key), hex(value)])
    .sort(([a], [b]) => Buffer.compare(a, b));
  const hashed = entries.flatMap(([key, value]) => [hash(key), hash(value)]);
  return hash(domain("extensions"), u32(entries.length), ...hashed);
}

export const listDigest = (items) => hash(domain("list"), u32(items.length), ...items.map((item) => hash(item)));

export const secret = (master, validator, epoch, index) =>
  createHmac("sha256", master).update(domain("secret")).update(validator).update(u64(epoch)).update(u64(index)).digest();

export const seed = (requestDigest, opened) => hash(domain("seed"), requestDigest, opened);

export const link = (counter, requestDigest, bodyDigest, previous) =>
  hash(domain("link"), u64(counter), requestDigest, bodyDigest, previous);
