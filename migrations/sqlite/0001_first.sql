-- +goose Up
-- Times are microseconds since 1970, UTC; NULL = never. Durations are
-- microseconds too. Lower-case *_key columns make a name unique in any case.

CREATE TABLE repos (
    id            text NOT NULL PRIMARY KEY,
    path          text NOT NULL,
    path_key      text NOT NULL UNIQUE,
    upstream      text NOT NULL,
    credential    text NOT NULL,
    private       boolean NOT NULL,
    interval_us   integer NOT NULL,
    tags          text NOT NULL,
    paused        boolean NOT NULL,
    created       integer NOT NULL,
    updated       integer NOT NULL,
    version       integer NOT NULL,

    -- what the last sync found
    settled       text NOT NULL,
    digest        text NOT NULL,
    generation    integer NOT NULL,
    head          text NOT NULL,
    head_count    integer NOT NULL,
    tag_count     integer NOT NULL,
    bytes         integer NOT NULL,
    last_attempt  integer,
    last_success  integer,
    last_change   integer,
    failures      integer NOT NULL,
    problem       text,

    -- the queue; next_sync is NULL exactly while the mirror is paused
    next_sync     integer,
    asked_trigger text NOT NULL,
    asked_at      integer,
    urgent        boolean NOT NULL,
    lease_owner   text NOT NULL,
    lease_run     integer NOT NULL,
    lease_until   integer,

    -- settled, unless a sync runs or a person has paused it
    status        text NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN lease_owner <> '' AND last_success IS NULL THEN 'cloning'
            WHEN lease_owner <> '' THEN 'syncing'
            WHEN paused THEN 'paused'
            ELSE settled
        END
    ) STORED
);
CREATE INDEX repos_due ON repos (urgent, next_sync, id) WHERE lease_owner = '' AND NOT paused;
CREATE INDEX repos_next ON repos (next_sync) WHERE lease_owner = '' AND NOT paused;
CREATE INDEX repos_leased ON repos (lease_until) WHERE lease_owner <> '';
CREATE INDEX repos_by_status ON repos (status, path_key);

CREATE TABLE runs (
    id        integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    repo_id   text NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    owner     text NOT NULL,
    "trigger" text NOT NULL,
    started   integer NOT NULL,
    ended     integer,
    outcome   text NOT NULL,
    created   integer NOT NULL,
    updated   integer NOT NULL,
    deleted   integer NOT NULL,
    bytes     integer NOT NULL,
    problem   text
);
CREATE INDEX runs_by_repo ON runs (repo_id, id);

CREATE TABLE events (
    id      integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    repo_id text NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    run_id  integer NOT NULL,
    at      integer NOT NULL,
    kind    text NOT NULL,
    ref     text NOT NULL,
    old     text NOT NULL,
    new     text NOT NULL,
    text    text NOT NULL
);
CREATE INDEX events_by_repo ON events (repo_id, id);

CREATE TABLE aliases (
    prefix   text NOT NULL PRIMARY KEY,
    repo     text NOT NULL,
    repo_key text NOT NULL,
    dir      text NOT NULL,
    found    text NOT NULL
);
CREATE INDEX aliases_by_repo ON aliases (repo_key);

CREATE TABLE rules (
    pattern     text NOT NULL,
    pattern_key text NOT NULL PRIMARY KEY,
    credential  text NOT NULL,
    private     boolean NOT NULL
);

CREATE TABLE credentials (
    name    text NOT NULL PRIMARY KEY,
    host    text NOT NULL,
    login   text NOT NULL,
    secret  blob NOT NULL,
    created integer NOT NULL
);

CREATE TABLE users (
    id            text NOT NULL PRIMARY KEY,
    name          text NOT NULL,
    name_key      text NOT NULL UNIQUE,
    role          text NOT NULL,
    password_hash text NOT NULL,
    disabled      boolean NOT NULL,
    epoch         integer NOT NULL,
    created       integer NOT NULL
);

CREATE TABLE keys (
    id          text NOT NULL PRIMARY KEY,
    user_id     text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        text NOT NULL,
    fingerprint text NOT NULL UNIQUE,
    public      text NOT NULL,
    created     integer NOT NULL,
    last_used   integer
);
CREATE INDEX keys_by_user ON keys (user_id);

CREATE TABLE tokens (
    id        text NOT NULL PRIMARY KEY,
    user_id   text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name      text NOT NULL,
    scope     text NOT NULL,
    hash      blob NOT NULL UNIQUE,
    created   integer NOT NULL,
    expires   integer,
    last_used integer
);
CREATE INDEX tokens_by_user ON tokens (user_id);

-- hash is the SHA-256 of the cookie's token: the table opens no session.
CREATE TABLE sessions (
    hash    blob NOT NULL PRIMARY KEY,
    data    blob NOT NULL,
    expires integer NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires);
