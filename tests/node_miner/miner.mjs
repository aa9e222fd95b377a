// A miner: node miner.mjs '{"secret_seed": hex, "genesis": hex, "netuid": 1, "callers": [ss58], "blocks": {"100": hex}}'
// Prints its port; ends when stdin closes. Its model is a small function of the previous token (see `logits`), since the
// protocol is what is shown here; put an engine in its place.
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { hex, leaf, levels, link, path, secret, seed as deriveSeed } from "./bytes.mjs";
import { Malformed, parse } from "./json.mjs";
import { ED25519, keypair, publicKeyOf, ss58, verify } from "./keys.mjs";
import * as records from "./records.mjs";
import { choose } from "./sampling.mjs";

const VOCABULARY = 64;
const END = 0;
const CONTEXT = 4_096;
const SIZE = 256;
const MAX_TOKENS = 256;
const MODEL_ID = createHash("sha256").update("node miner: toy model").digest("hex");
const STATUS = {
  malformed: 400, unauthenticated: 401, wrong_receiver: 403, stale: 401, replayed: 409, forbidden: 403, too_large: 413,
  unsupported_version: 400, wrong_network: 400, unknown_model: 404, unknown_epoch: 409, epoch_exhausted: 409,
  counter_used: 409, stale_beacon: 409, too_many_tokens: 400, internal: 500, not_found: 404,
  unsupported_media_type: 415, method_not_allowed: 405,
};

const options = JSON.parse(process.argv[2]);
const hotkey = keypair(hex(options.secret_seed));
const us = hotkey.publicKey.toString("hex");
const address = ss58(hotkey.publicKey);
const master = randomBytes(32);
const blocks = new Map(Object.entries(options.blocks));
const head = Math.max(...[...blocks.keys()].map(Number));
const callers = new Set(options.callers);
const epochs = new Map();
const nonces = new Map();

class Refused extends Error {
  constructor(code, detail) {
    super(detail);
    this.code = code;
  }
}

export function logits(previous) {
  return Array.from({ length: VOCABULARY }, (_, token) => ((previous * 31 + token * 17) % 97) / 16);
}

function authenticate(request, body) {
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  const ours = names.filter((name) => name.startsWith("x-bittensor-"));
  if (new Set(ours).size !== ours.length) throw new Refused("unauthenticated", "a header is given twice");
  const header = (name, shape) => {
    const value = request.headers[`x-bittensor-${name}`];
    if (value === undefined || !shape.test(value)) throw new Refused("unauthenticated", `header ${name} is wrong`);
    return value;
  };
  header("version", /^1$/);
  const caller = header("hotkey", /^[1-9A-HJ-NP-Za-km-z]{46,48}$/);
  const receiver = header("receiver", /^[1-9A-HJ-NP-Za-km-z]{46,48}$/);
  const nonce = header("nonce", /^[1-9][0-9]{18}$/);
  header("crypto", /^ed25519$/);
  const signature = header("signature", /^0x[0-9a-f]{128}$/);
  if (receiver !== address) throw new Refused("wrong_receiver", "signed for another hotkey");
  const age = BigInt(Date.now()) * 1_000_000n - BigInt(nonce);
  if (age > 10_000_000_000n || age < -2_000_000_000n) throw new Refused("stale", "outside the freshness window");
  const key = publicKeyOf(caller);
  const hashed = createHash("sha256").update(body).digest("hex");
  const payload = ["btauth/1", "ed25519", "POST", request.url, hashed, nonce, caller, receiver].join("\n");
  if (key === null || !verify(Buffer.from(payload), hex(signature.slice(2)), key)) {
    throw new Refused("unauthenticated", "the signature does not verify");
  }
  if (!callers.has(caller)) throw new Refused("forbidden", "this hotkey is not admitted");
  for (const [seen, since] of nonces) {
    if (Date.now() - since < 24_000) break;
    nonces.delete(seen);
  }
  if (nonces.has(caller + nonce)) throw new Refused("replayed", "this nonce was already used");
  nonces.set(caller + nonce, Date.now());
  return key.toString("hex");
}

function checkNetwork(message) {
  if (message.genesis !== options.genesis || message.netuid !== options.netuid) {
    throw new Refused("wrong_network", "another chain or subnet");
  }
}

function epochOf(validator) {
  let state = epochs.get(validator);
  if (state === undefined || state.used.size >= SIZE) {
    const epoch = Math.max(Date.now() * 1_000, (state?.epoch ?? 0) + 1);
    const secrets = Array.from({ length: SIZE }, (_, n) => secret(master, hex(validator), epoch, n));
    const leaves = secrets.map(leaf);
    state = { epoch, secrets, leaves, root: levels(leaves).at(-1)[0], used: new Map(), previous: Buffer.alloc(32) };
    epochs.set(validator, state);
  }
  return state;
}

function hello(caller, message) {
  records.check(records.Hello, message, "Hello");
  checkNetwork(message);
  const state = epochOf(caller);
  const commitment = {
    version: 1, genesis: options.genesis, netuid: options.netuid, miner: us, validator: caller, epoch: state.epoch,
    size: SIZE, root: state.root.toString("hex"), beacon_block: head,
  };
  const signed = (name, fields, value) => ({
    [name]: value, scheme: ED25519, signature: hotkey.sign(records.digest(fields, value)).toString("hex"),
  });
  const capabilities = {
    versions: [1], software: "node-miner-1.0.0",
    models: [{ model_id: MODEL_ID, name: "toy", context_tokens: CONTEXT }],
    max_tokens: MAX_TOKENS, concurrency: 16, handshake: signed("commitment", records.SecretsCommitment, commitment),
  };
  return signed("capabilities", records.Capabilities, capabilities);
}

function completion(caller, request, target) {
  records.check(records.CompletionRequest, request, "CompletionRequest");
  if (request.version !== 1) throw new Refused("unsupported_version", "we speak version 1");
  checkNetwork(request);
  if (request.validator !== caller) throw new Refused("malformed", "sent by another than its validator");
  if (request.miner !== us) throw new Refused("wrong_receiver", "the request names another miner");
  const digest = records.digest(records.CompletionRequest, request);
  // The path is signed: this makes the call's signature one over the request.
  if (target !== COMPLETION + digest.toString("hex")) throw new Refused("malformed", "another request's path");
  const state = epochs.get(caller);
  if (state === undefined || state.epoch !== request.epoch) throw new Refused("unknown_epoch", "shake hands first");
  if (request.counter >= SIZE) throw new Refused("epoch_exhausted", "shake hands again");
  const known = state.used.get(request.counter);
  if (known !== undefined) {
    if (known.body.request_digest !== digest.toString("hex")) throw new Refused("counter_used", "for another request");
    return known;
  }
  if (request.model_id !== MODEL_ID) throw new Refused("unknown_model", "this model is not served here");
  if (blocks.get(String(request.beacon_block)) !== request.beacon_hash || head - request.beacon_block > 32) {
    throw new Refused("stale_beacon", "the beacon is not a recent block");
  }
  if (request.max_tokens > MAX_TOKENS || request.prompt.length + request.max_tokens > CONTEXT) {
    throw new Refused("too_many_tokens", "longer than we serve");
  }
  const opened = state.secrets[request.counter];
  const seed = deriveSeed(digest, opened);
  const tokens = [];
  while (tokens.length < request.max_tokens) {
    const previous = tokens.at(-1) ?? request.prompt.at(-1);
    tokens.push(choose(logits(previous), seed, tokens.length, request.temperature_milli, request.min_p_ppm));
    if (tokens.at(-1) === END) break;
  }
  const body = {
    version: 1, request_digest: digest.toString("hex"), tokens, text: tokens.map((token) => `t${token}`).join(" "),
    finish: tokens.at(-1) === END ? "eos" : "length", secret: opened.toString("hex"),
    secret_path: path(state.leaves, request.counter).map((node) => node.toString("hex")),
    previous: state.previous.toString("hex"), extensions: {},
  };
  const signed = link(request.counter, digest, records.digest(records.CompletionResponse, body), state.previous);
  const response = { body, counter: request.counter, scheme: ED25519, signature: hotkey.sign(signed).toString("hex") };
  state.previous = signed;
  state.used.set(request.counter, response);
  return response;
}

function standing(caller, message) {
  records.check(records.SignedStanding, message, "SignedStanding");
  const digest = records.digest(records.Standing, message.standing);
  if (message.standing.validator !== caller || !verify(digest, hex(message.signature), hex(caller))) {
    throw new Refused("unauthenticated", "not signed by its sender");
  }
  return {};
}

function lines(response) {
  const words = response.body.text.split(" ");
  const chunks = response.body.tokens.map((token, index) => ({
    chunk: { tokens: [token], text: (index ? " " : "") + words[index] },
  }));
  const opening = { secret: response.body.secret, secret_path: response.body.secret_path };
  return [{ opening }, ...chunks, { response }].map((event) => `${JSON.stringify(event)}\n`).join("");
}

const COMPLETION = "/assay/v1/completion/";
const ROUTES = {
  "/assay/v1/hello": hello,
  "/assay/v1/standing": standing,
};

async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > 1_048_576) throw new Refused("too_large", "at most 1 MiB");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function answer(request, response) {
  if (request.method === "GET" && request.url === "/assay/v1/ping") {
    return { protocol: "assay", versions: [1], hotkey: address };
  }
  const route = request.url.startsWith(COMPLETION) ? completion : ROUTES[request.url];
  if (route === undefined) throw new Refused("not_found", "there is no such path");
  if (request.method !== "POST") throw new Refused("method_not_allowed", "POST only");
  if (request.headers["content-type"] !== "application/json" || request.headers["content-encoding"]) {
    throw new Refused("unsupported_media_type", "application/json only, not compressed");
  }
  const body = await bodyOf(request);
  const caller = authenticate(request, body);
  const result = route(caller, parse(body), request.url);
  if (route === completion && request.headers.accept === "application/x-ndjson") {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.end(lines(result));
    return null;
  }
  return result;
}

const server = createServer({ headersTimeout: 5_000, requestTimeout: 15_000 }, async (request, response) => {
  let status = 200;
  let result;
  try {
    result = await answer(request, response);
  } catch (error) {
    const code = error instanceof Refused ? error.code : error instanceof Malformed ? "malformed" : "internal";
    if (code === "internal") process.stderr.write(`${error.stack}\n`);
    status = STATUS[code];
    result = { code, detail: code === "internal" ? "" : error.message.slice(0, 500), retry_after_ms: 0 };
  }
  if (result === null) return;
  const body = Buffer.from(JSON.stringify(result));
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
process.stdin.on("end", () => process.exit(0)).resume();
