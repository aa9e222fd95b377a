"""Yuma Consensus once more, as slowly and plainly as can be: Python integers, one sparse entry at a time.

It shares nothing with the product but the input types, so that a property test can hold the vectorised form against it.
Rules of spec 425 only.
"""

from __future__ import annotations

ONE = 1 << 32
U16 = 65_535
U64 = (1 << 64) - 1


def mul(a, b):
    return (a * b) >> 32


def div(a, b):
    if b == 0:
        return 0
    exact = (abs(a) << 32) // abs(b)
    return exact if (a < 0) == (b < 0) else -exact


def normalised(vector):
    total = sum(vector)
    return [div(x, total) for x in vector] if total else list(vector)


def to_u16(x):
    return max(0, min(U16, mul(x, U16 * ONE) >> 32))


def exponential(x):
    x = max(-20 * ONE, min(20 * ONE, x))
    if x == 0:
        return ONE
    if x == ONE:
        return int(2.718281828459045 * 2**23) << 9
    size = abs(x)
    total, term = size + ONE, size
    for i in range(2, 32):
        term = div(mul(term, size), i * ONE)
        total += term
    return div(ONE, total) if x < 0 else total


def column_sums(rows, n):
    sums = [0] * n
    for row in rows:
        for j, value in row:
            sums[j] += value
    return sums


def column_normalised(rows, n):
    sums = column_sums(rows, n)
    return [[(j, div(value, sums[j]) if sums[j] else value) for j, value in row] for row in rows]


def median(stake, scores, minority):
    left, low, high = list(range(len(stake))), 0, sum(stake)
    while len(left) > 1:
        pivot = scores[left[len(left) // 2]]
        below = [i for i in left if scores[i] < pivot]
        above = [i for i in left if scores[i] > pivot]
        below_stake, above_stake = sum(stake[i] for i in below), sum(stake[i] for i in above)
        if below and minority < low + below_stake:
            left, high = below, low + below_stake
        elif above and high - above_stake <= minority:
            left, low = above, high - above_stake
        else:
            return pivot
    return scores[left[0]] if left else 0


def stakes_and_permits(state, params):
    weight = ((params.tao_weight << 32) // U64) << 32
    totals = []
    for uid, (alpha, tao) in enumerate(zip(state.alpha_stake, state.tao_stake, strict=True)):
        total = (alpha << 64) + (((tao << 64) * weight) >> 64)
        filtered = uid != state.owner_uid and total >> 64 < params.stake_threshold
        totals.append(0 if filtered else total)
    whole = sum(totals)
    stake = [((total << 64) // whole if whole else total) >> 32 for total in totals]
    permits, new_permits = list(state.validator_permit), [s != 0 for s in stake]
    if state.n >= params.max_allowed_validators:
        for uid in sorted(range(state.n), key=lambda u: stake[u])[: state.n - params.max_allowed_validators]:
            new_permits[uid] = False
    if state.owner_uid is not None:
        permits[state.owner_uid] = new_permits[state.owner_uid] = True
    return stake, permits, new_permits


def masked_weights(state, permits):
    rows = []
    for i in range(state.n):
        row = []
        for j, value in state.weights.get(i, ()) if permits[i] else ():
            if i == j and i != state.owner_uid:
                continue
            if state.last_update[i] <= state.block_at_registration[j]:
                continue
            if state.first_commit_block is not None and state.first_commit_block[i] < state.block_at_registration[j]:
                continue
            row.append((j, value * ONE))
        total = sum(value for _, value in row)
        rows.append([(j, div(value, total)) for j, value in row] if total > 0 else row)
    return rows


def weights_for_bonds(weights, clipped, penalty, n):
    if penalty == 0:
        return weights
    if penalty == ONE:
        return clipped
    rows = []
    for one, other in zip(weights, clipped, strict=True):
        one, other = dict(one), dict(other)
        mixed = [(j, one.get(j, 0) + mul(penalty, other.get(j, 0) - one.get(j, 0))) for j in range(n)]
        rows.append([(j, value) for j, value in mixed if value > 0])
    return rows


def averaged(new, old, rate, n):
    rows = []
    for fresh, known in zip(new, old, strict=True):
        cells = [0] * n
        for j, value in fresh:
            cells[j] += mul(rate, value)
        for j, value in known:
            cells[j] += mul(ONE - rate, value)
        rows.append([(j, value) for j, value in enumerate(cells) if value > 0])
    return rows


def liquid(new, old, consensus, params):
    low, high = div(params.alpha_low * ONE, U16 * ONE), div(params.alpha_high * ONE, U16 * ONE)
    slope = div(params.alpha_sigmoid_steepness * ONE, -100 * ONE)
    rows = []
    for fresh, known in zip(new, old, strict=True):
        known, row = dict(known), []
        for j, weight in fresh:
            bond = known.get(j, 0)
            gap = weight - consensus[j] if weight >= bond else bond - weight
            gap = max(0, min(ONE, gap))
            sigmoid = div(ONE, ONE + exponential(mul(slope, gap - ONE // 2)))
            rate = max(low, min(high, low + mul(sigmoid, high - low)))
            value = min(mul(ONE - rate, bond) + max(mul(rate, weight), 0), ONE)
            if value > 0:
                row.append((j, value))
        rows.append(row)
    return rows


def epoch(state, params, emission):
    """The fields of an EpochResult as a dict of lists; bonds as {uid: row}."""
    n = state.n
    active = [min(u + params.activity_cutoff, U64) >= state.block for u in state.last_update]
    stake, permits, new_permits = stakes_and_permits(state, params)
    active_stake = normalised([s if a and p else 0 for s, a, p in zip(stake, active, permits, strict=True)])
    weights = masked_weights(state, permits)

    voters = [i for i in range(n) if active_stake[i] > 0]
    voting = normalised([active_stake[i] for i in voters])
    minority = sum(voting) - div(params.kappa * ONE, U16 * ONE)
    table = [dict(weights[i]) for i in voters]
    consensus = [median(voting, [row.get(j, 0) for row in table], minority) for j in range(n)]
    clipped = [
        [(j, min(value, consensus[j])) for j, value in row if value <= consensus[j] or consensus[j] > 0]
        for row in weights
    ]
    ranks = [0] * n
    for i, row in enumerate(clipped):
        for j, value in row:
            ranks[j] += mul(active_stake[i], value)
    incentive = normalised(ranks)

    growing = weights_for_bonds(weights, clipped, div(params.bonds_penalty * ONE, U16 * ONE), n)
    last_epoch = state.last_step_block + 1 if state.last_step_block else max(state.block - state.tempo, 0)
    bonds = [
        [(j, value * ONE) for j, value in state.bonds.get(i, ()) if state.block_at_registration[j] < last_epoch]
        for i in range(n)
    ]
    rate = ONE - (((params.bonds_moving_average << 64) // 1_000_000) >> 32)
    if params.yuma3:
        bonds = [[(j, div(value, U16 * ONE)) for j, value in row] for row in bonds]
        if params.liquid_alpha and any(consensus):
            stored = liquid(growing, bonds, consensus, params)
        else:
            stored = averaged(growing, bonds, rate, n)
        shares = column_normalised(stored, n)
        totals = [sum(mul(value, incentive[j]) for j, value in row) for row in shares]
        dividends = normalised([mul(total, s) for total, s in zip(totals, active_stake, strict=True)])
    else:
        delta = [[(j, mul(value, active_stake[i])) for j, value in row] for i, row in enumerate(growing)]
        mixed = averaged(column_normalised(delta, n), column_normalised(bonds, n), rate, n)
        shares = column_normalised(mixed, n)
        dividends = normalised([sum(mul(value, incentive[j]) for j, value in row) for row in shares])
        largest = [0] * n
        for row in shares:
            for j, value in row:
                largest[j] = max(largest[j], value)
        stored = [[(j, div(value, largest[j]) if largest[j] else value) for j, value in row] for row in shares]

    both = [i + d for i, d in zip(incentive, dividends, strict=True)]
    whole = sum(both)
    if whole:
        server, validator, combined = ([div(x, whole) for x in shares] for shares in (incentive, dividends, both))
    else:
        server = incentive
        validator = combined = active_stake if any(active_stake) else stake
    return {
        "active": active,
        "stake_weight": [to_u16(x) for x in stake],
        "consensus": [to_u16(x) for x in consensus],
        "validator_trust": [to_u16(sum(value for _, value in row)) for row in clipped],
        "incentive": [to_u16(x) for x in incentive],
        "dividends": [to_u16(x) for x in dividends],
        "emission": [mul(x, emission) for x in combined],
        "server_emission": [mul(x, emission) for x in server],
        "validator_emission": [mul(x, emission) for x in validator],
        "validator_permit": new_permits,
        "bonds": {
            i: tuple((j, to_u16(value)) for j, value in sorted(row))
            for i, row in enumerate(stored)
            if row and new_permits[i]
        },
    }
