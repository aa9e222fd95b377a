// The golden vectors: node --test
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as bytes from "./bytes.mjs";
import { Malformed, parse } from "./json.mjs";
import { keypair, publicKeyOf, ss58, verify } from "./keys.mjs";
import * as records from "./records.mjs";
import { choose, noise, word } from "./sampling.mjs";

const folder = new URL("../../subnet/protocol/vectors/", import.meta.url);
const vectors = JSON.parse(readFileSync(new URL("v1.json", folder), "utf8"));
const asHex = (value) => value.toString("hex");
const message = (name) => parse(Buffer.from(vectors[name].json));
const miner = keypair(bytes.hex(vectors.keys.miner.secret_seed));
const validator = keypair(bytes.hex(vectors.keys.validator.secret_seed));

test("keys and addresses", () => {
  for (const name of ["validator", "miner"]) {
    const facts = vectors.keys[name];
    assert.equal(asHex(keypair(bytes.hex(facts.secret_seed)).publicKey), facts.public_key);
    assert.equal(ss58(bytes.hex(facts.public_key)), facts.ss58);
    assert.equal(asHex(publicKeyOf(facts.ss58)), facts.public_key);
  }
});

test("merkle trees", () => {
  for (const { size, root, paths } of vectors.merkle) {
    const leaves = Array.from({ length: size }, (_, index) => bytes.leaf(bytes.u32(index)));
    assert.equal(asHex(bytes.root(leaves)), root);
    assert.deepEqual(leaves.map((_, index) => bytes.path(leaves, index).map(asHex)), paths);
  }
});

test("token commitments and extensions", () => {
  for (const { tokens, commitment } of vectors.token_commitments) {
    assert.equal(asHex(bytes.tokenCommitment(tokens)), commitment);
  }
  assert.equal(asHex(bytes.extensionsDigest(message("request").extensions)), vectors.extensions_digest);
});

for (const [name, field, fields, signed, signer] of [
  ["commitment", "commitment", records.SecretsCommitment, records.SignedCommitment, miner],
  ["standing", "standing", records.Standing, records.SignedStanding, validator],
]) {
  test(`${name}: canonical bytes, digest, signature`, () => {
    const value = records.check(signed, message(name));
    assert.equal(asHex(records.canonical(fields, value[field])), vectors[name].canonical);
    const digest = records.digest(fields, value[field]);
    assert.equal(asHex(digest), vectors[name].digest);
    assert.equal(asHex(signer.sign(digest)), vectors[name].signature);
    assert.ok(verify(digest, bytes.hex(value.signature), signer.publicKey));
    assert.ok(!verify(bytes.hash(digest), bytes.hex(value.signature), signer.publicKey));
  });
}

test("request: canonical bytes, digest, and the call that asks it", () => {
  const request = records.check(records.CompletionRequest, message("request"));
  assert.equal(asHex(records.canonical(records.CompletionRequest, request)), vectors.request.canonical);
  const digest = asHex(records.digest(records.CompletionRequest, request));
  assert.equal(digest, vectors.request.digest);
  const { path, headers, body, payload, signature } = vectors.call;
  assert.equal(path, `/assay/v1/completion/${digest}`);
  const signed = [
    "btauth/1", "ed25519", "POST", path, asHex(bytes.hash(body)), headers["X-Bittensor-Nonce"],
    ss58(bytes.hex(request.validator)), ss58(bytes.hex(request.miner)),
  ].join("\n");
  assert.equal(signed, payload);
  assert.equal(asHex(validator.sign(Buffer.from(signed))), signature);
  assert.equal(headers["X-Bittensor-Signature"], `0x${signature}`);
});

test("capabilities: canonical bytes, digest, signature", () => {
  const { capabilities } = message("capabilities");
  assert.equal(asHex(records.canonical(records.Capabilities, capabilities)), vectors.capabilities.canonical);
  const digest = records.digest(records.Capabilities, capabilities);
  assert.equal(asHex(digest), vectors.capabilities.digest);
  assert.equal(asHex(miner.sign(digest)), vectors.capabilities.signature);
});

test("response: body digest, link, signature", () => {
  const { body, counter } = message("response");
  const digest = records.digest(records.CompletionResponse, records.check(records.CompletionResponse, body));
  assert.equal(asHex(digest), vectors.response.digest);
  const link = bytes.link(counter, bytes.hex(body.request_digest), digest, bytes.hex(body.previous));
  assert.equal(asHex(link), vectors.response.link);
  assert.equal(asHex(miner.sign(link)), vectors.response.signature);
});

test("secrets and seed", () => {
  const { master, validator: key, epoch, secrets, root, index, path } = vectors.secrets;
  const made = secrets.map((_, n) => bytes.secret(bytes.hex(master), bytes.hex(key), epoch, n));
  assert.deepEqual(made.map(asHex), secrets);
  const leaves = made.map(bytes.leaf);
  assert.equal(asHex(bytes.root(leaves)), root);
  assert.deepEqual(bytes.path(leaves, index).map(asHex), path);
  assert.equal(asHex(bytes.seed(bytes.hex(vectors.request.digest), made[index])), vectors.seed);
});

test("noise", () => {
  for (const { seed, position, tokens, words, noise: grid } of vectors.noise) {
    const drawn = tokens.map((token) => word(bytes.hex(seed), position, token));
    assert.deepEqual(drawn, words);
    assert.deepEqual(drawn.map(noise), grid);
  }
});

test("arg-max on given logits", () => {
  for (const { seed, temperature_milli, min_p_ppm, logits, tokens } of vectors.choices) {
    const chosen = logits.map((row, position) => choose(row, bytes.hex(seed), position, temperature_milli, min_p_ppm));
    assert.deepEqual(chosen, tokens);
  }
});

test("JSON that the protocol refuses", () => {
  const refused = [
    "1.0", "1e3", "-1", "NaN", "01", "9007199254740992", "true", "null", '{"a":1,"a":2}', "[1,]", "{}{}", "", '"\\ud800"',
    "[".repeat(9) + "]".repeat(9), '{"a":1,}', "[1 2]", "\u{feff}{}",
  ];
  for (const source of refused) assert.throws(() => parse(Buffer.from(source)), Malformed, source);
  assert.deepEqual(parse(Buffer.from(' { "a" : [ 1 , "x\\n\\u00e9" ] } ')).a, [1, "x\n\u00e9"]);
});
