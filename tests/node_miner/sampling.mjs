// Section 7: addressed noise, Gumbel-max, min-p.

function multiply(a, b) {
  const product = BigInt(a) * BigInt(b);
  return [Number(product >> 32n), Number(product & 0xffffffffn)];
}

export function philox(counter, key) {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round += 1) {
    const [h0, l0] = multiply(0xd2511f53, c0);
    const [h1, l1] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

export function word(seed, position, token) {
  const [k0, k1, c2, c3] = [0, 4, 8, 12].map((offset) => seed.readUInt32LE(offset));
  return philox([Math.floor(token / 4), position, c2, c3], [k0, k1])[token % 4];
}

export function noise(randomWord) {
  const scaled = -Math.log(-Math.log((randomWord + 0.5) / 2 ** 32)) * 65536;
  const below = Math.floor(scaled);
  if (scaled - below !== 0.5) return Math.round(scaled);
  return below % 2 === 0 ? below : below + 1;
}

export function choose(logits, seed, position, temperatureMilli, minPPpm) {
  const values = Float32Array.from(logits);
  const highest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (temperatureMilli === 0) return values.indexOf(highest);
  const cut = minPPpm === 0 ? -Infinity : highest + (temperatureMilli / 1000) * Math.log(minPPpm / 1_000_000);
  let best = -1;
  let bestScore = -Infinity;
  values.forEach((logit, token) => {
    if (logit < cut) return;
    const score = logit + (temperatureMilli * noise(word(seed, position, token))) / 65_536_000;
    if (score > bestScore) [best, bestScore] = [token, score];
  });
  return best;
}
