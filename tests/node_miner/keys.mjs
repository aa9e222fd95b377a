// ed25519 with node:crypto, and ss58 addresses. sr25519 is not in node:crypto: validators of this miner use ed25519.
import { createHash, createPrivateKey, createPublicKey, sign as edSign, verify as edVerify } from "node:crypto";

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const P = 2n ** 255n - 19n;
const SMALL_ORDER = new Set([
  ...[0n, 1n, P - 1n, P, P + 1n].map((y) => Buffer.from(y.toString(16).padStart(64, "0"), "hex").reverse().toString("hex")),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

export const ED25519 = 0;

export function keypair(secretSeed) {
  const secret = createPrivateKey({ key: Buffer.concat([PKCS8, secretSeed]), format: "der", type: "pkcs8" });
  const publicKey = createPublicKey(secret).export({ format: "der", type: "spki" }).subarray(SPKI.length);
  return { publicKey: Buffer.from(publicKey), sign: (message) => edSign(null, message, secret) };
}

export function verify(message, signature, publicKey) {
  const masked = Buffer.from(publicKey);
  masked[31] &= 0x7f;
  if (SMALL_ORDER.has(masked.toString("hex"))) return false;
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: "der", type: "spki" });
    return edVerify(null, message, key, signature);
  } catch {
    return false;
  }
}

const checksum = (payload) =>
  createHash("blake2b512").update("SS58PRE").update(payload).digest().subarray(0, 2);

export function ss58(publicKey) {
  const payload = Buffer.concat([Buffer.from([42]), publicKey]);
  let value = BigInt(`0x${Buffer.concat([payload, checksum(payload)]).toString("hex")}`);
  let out = "";
  while (value > 0n) {
    out = BASE58[Number(value % 58n)] + out;
    value /= 58n;
  }
  return out;
}

export function publicKeyOf(address) {
  if (!/^[1-9A-HJ-NP-Za-km-z]{46,48}$/.test(address)) return null;
  let value = 0n;
  for (const character of address) value = value * 58n + BigInt(BASE58.indexOf(character));
  const digits = value.toString(16);
  if (digits.length > 70) return null;
  const bytes = Buffer.from(digits.padStart(70, "0"), "hex");
  const payload = bytes.subarray(0, 33);
  if (payload[0] !== 42 || !checksum(payload).equals(bytes.subarray(33))) return null;
  return Buffer.from(payload.subarray(1));
}
