"""The validator's database, version by version. A published migration is history: never edit one, add the next."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE rounds (
        id INTEGER PRIMARY KEY,
        phase INTEGER NOT NULL,
        opened_block INTEGER NOT NULL,
        check_block INTEGER NOT NULL,
        secret BLOB NOT NULL,
        opened_at REAL NOT NULL,
        commitment BLOB,
        select_hash BLOB,
        seconds REAL
    );
    CREATE INDEX rounds_open ON rounds (phase) WHERE phase < 3;

    CREATE TABLE chains (
        miner TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        handshake BLOB NOT NULL,
        next_counter INTEGER NOT NULL DEFAULT 0,
        last_link BLOB NOT NULL,
        length INTEGER NOT NULL DEFAULT 0,
        piece INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (miner, epoch)
    ) WITHOUT ROWID;

    CREATE TABLE exchanges (
        id INTEGER PRIMARY KEY,
        round INTEGER NOT NULL REFERENCES rounds (id),
        miner TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        label TEXT NOT NULL,
        conversation TEXT NOT NULL,
        organic INTEGER NOT NULL DEFAULT 0,
        request BLOB NOT NULL,
        rate_ppm INTEGER NOT NULL,
        salt BLOB NOT NULL,
        status INTEGER NOT NULL,
        timed INTEGER NOT NULL DEFAULT 1,
        response BLOB,
        prefix BLOB,
        sent_at REAL,
        first_at REAL,
        finished_at REAL,
        reason INTEGER,
        detail TEXT NOT NULL DEFAULT '',
        leaf INTEGER,
        position INTEGER,
        piece INTEGER,
        selected INTEGER,
        verdict TEXT,
        checked INTEGER NOT NULL DEFAULT 0,
        misses INTEGER NOT NULL DEFAULT 0,
        margin REAL,
        records BLOB,
        quality REAL,
        UNIQUE (miner, epoch, counter)
    );
    CREATE INDEX exchanges_round ON exchanges (round);
    CREATE INDEX exchanges_chain ON exchanges (miner, epoch, position);

    CREATE TABLE miners (
        hotkey TEXT PRIMARY KEY,
        test TEXT,
        standing TEXT,
        score TEXT,
        aside TEXT,
        requests INTEGER NOT NULL DEFAULT 0,
        answered INTEGER NOT NULL DEFAULT 0,
        checks INTEGER NOT NULL DEFAULT 0,
        history TEXT NOT NULL DEFAULT '[]',
        reason INTEGER,
        first_block INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;

    CREATE TABLE ledger (
        idx INTEGER PRIMARY KEY,
        block INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        entry BLOB NOT NULL,
        leaf BLOB NOT NULL
    );

    CREATE TABLE bundles (
        digest BLOB PRIMARY KEY,
        miner TEXT NOT NULL,
        author TEXT NOT NULL,
        block INTEGER NOT NULL,
        verdict TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE weights (
        id INTEGER PRIMARY KEY,
        block INTEGER,
        reason TEXT NOT NULL,
        planned TEXT NOT NULL,
        message TEXT NOT NULL
    );

    CREATE TABLE incentives (block INTEGER PRIMARY KEY, shares TEXT NOT NULL);

    CREATE TABLE peers (
        hotkey TEXT PRIMARY KEY,
        log TEXT NOT NULL,
        block INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE exchanges ADD COLUMN opened BLOB;
    ALTER TABLE exchanges ADD COLUMN arrivals TEXT;
    ALTER TABLE miners ADD COLUMN prefix_test TEXT;
    ALTER TABLE miners ADD COLUMN suspected_until INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE gates (
        id INTEGER PRIMARY KEY,
        block INTEGER NOT NULL,
        gate TEXT NOT NULL,
        miner TEXT NOT NULL,
        mode TEXT NOT NULL
    );
    CREATE INDEX gates_miner ON gates (miner);
    """,
)
