"""What must hold of a validator's books whatever happened to it."""

from reward import WeightRules
from subnet.chain.weights import quantise, same_row
from subnet.validator import scorebook
from subnet.validator.state import Store
from subnet.validator.weighing import vector_of


def check_books(world, validator="validator", accused=0):
    """No verdict lost, none counted twice: every answer judged once, and the tests hold exactly the checked tokens."""
    unjudged = world.rows(
        validator,
        "SELECT e.id FROM exchanges e JOIN rounds r ON r.id = e.round WHERE r.phase = 3 AND e.response IS NOT NULL "
        "AND e.selected IS NULL",
    )
    assert unjudged == []
    positions = world.rows(validator, "SELECT miner, epoch, position FROM exchanges WHERE position IS NOT NULL")
    assert len(set(positions)) == len(positions)
    for hotkey, requests, answered, test, prefixes in world.rows(
        validator,
        "SELECT hotkey, requests, answered, json_extract(test, '$.tokens'), json_extract(prefix_test, '$.tokens') "
        "FROM miners",
    ):
        of_miner = f"FROM exchanges e JOIN rounds r ON r.id = e.round WHERE r.phase = 3 AND e.miner = '{hotkey}'"
        assert world.rows(validator, f"SELECT COUNT(*) {of_miner}") == [(requests,)]
        answers = world.rows(validator, f"SELECT COUNT(*) {of_miner} AND e.status = 2")[0][0]
        assert answers <= answered <= requests
        if not accused or test is not None:
            # What came of answers that were never signed has a test of its own, which slashes nobody.
            for where, tokens in (("e.status = 2", test), ("e.status != 2", prefixes)):
                checked = world.rows(validator, f"SELECT COALESCE(SUM(e.checked), 0) {of_miner} AND {where}")
                assert checked == [(tokens or 0,)], (hotkey, where)
    accusations = world.rows(validator, "SELECT COUNT(*) FROM ledger WHERE kind = 2")
    assert accusations == [(accused,)]


def check_weights_taken(world, validator, taken):
    """Every vector that the chain took is written down once, and nothing else is."""
    written = world.rows(validator, "SELECT block FROM weights WHERE reason IN ('set', 'committed') ORDER BY block")
    assert [block for (block,) in written] == taken, (written, taken)


async def check_weights_are_of_settled_rounds(world, validator="validator"):
    """The chain holds just what follows from the stored scores: no weight of a round that is not settled."""
    store = Store(world.state(validator), read_only=True)
    try:
        miners = store.miners()
        book = scorebook.load_book(miners, store.meta(scorebook.META_KEY))
    finally:
        store.close()
    vector = vector_of(book, miners, await world.metagraph(), WeightRules())
    planned = quantise(dict(zip(vector.uids, vector.shares, strict=True)))
    _, row = await world.weights_of(validator)
    assert same_row(planned, row), (planned, row)
