// The records of section 5: each field's check and canonical bytes, in their order.
import { domain, extensionsDigest, hash, hex, listDigest, text, tokenCommitment, u16, u32, u64, u8 } from "./bytes.mjs";
import { Malformed } from "./json.mjs";

const fail = (name, why) => {
  throw new Malformed(`${name}: ${why}`);
};

const integer = (encode, low, high) => ({
  check: (value, name) =>
    (Number.isSafeInteger(value) && value >= low && value <= high) || fail(name, `expected ${low} to ${high}`),
  bytes: encode,
});
const raw = (width) => ({
  check: (value, name) =>
    (typeof value === "string" && value.length === 2 * width && /^[0-9a-f]*$/.test(value)) ||
    fail(name, `expected ${width} bytes as hex`),
  bytes: hex,
});
const tokens = (low, high) => ({
  check: (value, name) =>
    (Array.isArray(value) &&
      value.length >= low &&
      value.length <= high &&
      value.every((token) => Number.isInteger(token) && token >= 0 && token <= 0xffffffff)) ||
    fail(name, `expected ${low} to ${high} token ids`),
  bytes: tokenCommitment,
});
const string = (high) => ({
  check: (value, name) => (typeof value === "string" && text(value).length <= high) || fail(name, "expected text"),
  bytes: (value) => hash(text(value)),
});
const label = {
  check: (value, name) =>
    (typeof value === "string" && /^[a-z0-9][a-z0-9._-]{0,63}$/.test(value)) || fail(name, "expected a label"),
  bytes: (value) => hash(text(value)),
};
const choice = (...names) => ({
  check: (value, name) => names.includes(value) || fail(name, `expected one of ${names}`),
  bytes: (value) => u8(names.indexOf(value)),
});
const extensions = {
  check: (value, name) => {
    if (value === null || typeof value !== "object" || Array.isArray(value)) fail(name, "expected an object");
    const entries = Object.entries(value);
    if (entries.length > 16) fail(name, "too many extensions");
    for (const [key, entry] of entries) {
      label.check(key, name);
      if (typeof entry !== "string" || entry.length > 8_192 || !/^([0-9a-f]{2})*$/.test(entry)) fail(name, "not hex");
    }
  },
  bytes: extensionsDigest,
};
const list = (kind, low, high) => ({
  check: (value, name) => {
    if (!Array.isArray(value) || value.length < low || value.length > high) fail(name, `expected ${low} to ${high} items`);
    value.forEach((item) => kind.check(item, name));
  },
  bytes: (value) => listDigest(value.map(kind.bytes)),
});
const record = (fields) => ({
  check: (value, name) => check(fields, value, name),
  bytes: (value) => canonical(fields, value),
});

const U8 = (high) => integer(u8, 0, high);
const U16 = (low = 0) => integer(u16, low, 0xffff);
const U32 = (low = 0, high = 0xffffffff) => integer(u32, low, high);
const U64 = integer(u64, 0, Number.MAX_SAFE_INTEGER);
const signatureOf = (name, fields) => ({ [name]: record(fields), scheme: U8(1), signature: raw(64) });

export const CompletionRequest = {
  version: U16(1),
  genesis: raw(32),
  netuid: U16(),
  model_id: raw(32),
  prompt: tokens(1, 131_072),
  temperature_milli: U32(0, 10_000),
  min_p_ppm: U32(0, 1_000_000),
  max_tokens: U32(1, 16_384),
  validator: raw(32),
  miner: raw(32),
  beacon_block: U64,
  beacon_hash: raw(32),
  nonce: raw(32),
  epoch: U64,
  counter: U64,
  extensions,
};

export const SecretsCommitment = {
  version: U16(1),
  genesis: raw(32),
  netuid: U16(),
  miner: raw(32),
  validator: raw(32),
  epoch: U64,
  size: U32(2, 65_536),
  root: raw(32),
  beacon_block: U64,
};
export const SignedCommitment = signatureOf("commitment", SecretsCommitment);

export const CompletionResponse = {
  version: U16(1),
  request_digest: raw(32),
  tokens: tokens(1, 16_384),
  text: string(262_144),
  finish: choice("eos", "length"),
  secret: raw(32),
  secret_path: list(raw(32), 0, 16),
  previous: raw(32),
  extensions,
};

export const Hello = { versions: list(U16(1), 1, 16), genesis: raw(32), netuid: U16() };

const ModelOffer = { model_id: raw(32), name: label, context_tokens: U32(1) };
export const Capabilities = {
  versions: list(U16(1), 1, 16),
  software: label,
  models: list(record(ModelOffer), 0, 64),
  max_tokens: U32(1, 16_384),
  concurrency: U32(1),
  handshake: record(SignedCommitment),
};

const Reason = { code: label, count: U32(1) };
export const Standing = {
  version: U16(1),
  genesis: raw(32),
  netuid: U16(),
  validator: raw(32),
  miner: raw(32),
  block: U64,
  state: choice("active", "probation", "accused", "unverified"),
  score_ppm: U32(0, 1_000_000),
  weight_ppm: U32(0, 1_000_000),
  requests: U64,
  verified: U64,
  verified_tokens: U64,
  evidence_milli: U64,
  threshold_milli: U64,
  reasons: list(record(Reason), 0, 64),
};
export const SignedStanding = signatureOf("standing", Standing);

const DOMAINS = new Map([
  [CompletionRequest, "request"],
  [SecretsCommitment, "secrets"],
  [CompletionResponse, "response"],
  [Capabilities, "capabilities"],
  [Standing, "standing"],
]);

export function check(fields, value, name = "message") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) fail(name, "expected an object");
  const names = Object.keys(fields);
  if (Object.keys(value).length !== names.length) fail(name, "missing or unknown fields");
  for (const field of names) {
    if (!Object.hasOwn(value, field)) fail(name, `${field} is missing`);
    fields[field].check(value[field], field);
  }
  return value;
}

export const canonical = (fields, value) =>
  Buffer.concat(Object.entries(fields).map(([name, kind]) => kind.bytes(value[name])));

export const digest = (fields, value) => hash(domain(DOMAINS.get(fields)), canonical(fields, value));
