-- +goose Up
ALTER TABLE repos ADD COLUMN refs text NOT NULL DEFAULT ''; -- JSON of the ref policy; '' = branches and tags
ALTER TABLE repos ADD COLUMN endpoint text NOT NULL DEFAULT '';
ALTER TABLE repos ADD COLUMN host_id integer NOT NULL DEFAULT 0;
ALTER TABLE repos ADD COLUMN last_client integer;
ALTER TABLE repos ADD COLUMN last_hook integer;
-- since when upstream has said nothing but 401, 403 or 404
ALTER TABLE repos ADD COLUMN refused_since integer;
-- what an owner shows to prove that the lease is still its own
ALTER TABLE repos ADD COLUMN lease_token integer NOT NULL DEFAULT 0;

-- Who asked says how urgent it is: 0 = nobody did.
DROP INDEX repos_due;
DROP INDEX repos_next;
ALTER TABLE repos DROP COLUMN urgent;
ALTER TABLE repos ADD COLUMN urgency integer NOT NULL DEFAULT 0;
CREATE INDEX repos_due ON repos (urgency, next_sync, id) WHERE lease_owner = '' AND NOT paused;

-- Looking for news is no sync: the status changes when a run is open.
DROP INDEX repos_by_status;
ALTER TABLE repos DROP COLUMN status;
ALTER TABLE repos ADD COLUMN status text NOT NULL GENERATED ALWAYS AS (
    CASE
        WHEN lease_run <> 0 AND last_success IS NULL THEN 'cloning'
        WHEN lease_run <> 0 THEN 'syncing'
        WHEN paused THEN 'paused'
        ELSE settled
    END
) VIRTUAL;
CREATE INDEX repos_by_status ON repos (status, path_key);
CREATE INDEX repos_by_host_id ON repos (host_id) WHERE host_id <> 0;

-- Webhook deliveries that were seen: GitHub sends some twice.
CREATE TABLE deliveries (
    id text NOT NULL PRIMARY KEY,
    at integer NOT NULL
);
CREATE INDEX deliveries_by_age ON deliveries (at);

-- Until when nobody asks: a host with a credential, or a repository.
CREATE TABLE cooldowns (
    what  text NOT NULL PRIMARY KEY,
    until integer NOT NULL,
    why   text NOT NULL
);

CREATE TABLE holds (
    id         integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    repo_id    text NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    kind       text NOT NULL,
    ref        text NOT NULL,
    old        text NOT NULL,
    new        text NOT NULL,
    refs       text NOT NULL, -- JSON array of names
    ref_count  integer NOT NULL,
    text       text NOT NULL,
    opened     integer NOT NULL,
    decision   text NOT NULL,
    decided_by text NOT NULL,
    decided    integer,
    reason     text NOT NULL,
    settled    integer -- when it became history
);
CREATE UNIQUE INDEX holds_live ON holds (repo_id, kind, ref, old, new) WHERE settled IS NULL;
CREATE INDEX holds_open ON holds (id) WHERE decision = '' AND settled IS NULL;
CREATE INDEX holds_by_repo ON holds (repo_id, id);

CREATE TABLE hosts (
    name         text NOT NULL PRIMARY KEY,
    active       text NOT NULL,
    pinned       boolean NOT NULL,
    pinned_until integer,
    bandwidth    integer NOT NULL,
    budget       real NOT NULL,
    since        integer NOT NULL,
    version      integer NOT NULL
);

CREATE TABLE endpoints (
    host          text NOT NULL REFERENCES hosts (name) ON DELETE CASCADE,
    name          text NOT NULL,
    position      integer NOT NULL,
    url           text NOT NULL,
    credential    text NOT NULL,
    authoritative boolean NOT NULL,
    disabled      boolean NOT NULL,
    PRIMARY KEY (host, name)
);

-- Measurements, thinned with age: span is how many seconds a row stands for.
-- The times are sums in microseconds: dns, connect and tls of the fresh
-- connections, first_byte of the n - failed, moving of the moved bytes.
CREATE TABLE samples (
    host       text NOT NULL,
    endpoint   text NOT NULL,
    span       integer NOT NULL,
    at         integer NOT NULL,
    n          integer NOT NULL,
    failed     integer NOT NULL,
    fresh      integer NOT NULL,
    dns        integer NOT NULL,
    connect    integer NOT NULL,
    tls        integer NOT NULL,
    first_byte integer NOT NULL,
    moved      integer NOT NULL,
    moving     integer NOT NULL,
    spread     text NOT NULL, -- "step:count " of each size of latency; may name a step twice
    problem    text NOT NULL, -- code of the last failure
    PRIMARY KEY (host, endpoint, span, at)
);
CREATE INDEX samples_by_age ON samples (span, at);

CREATE TABLE host_events (
    id         integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    host       text NOT NULL,
    at         integer NOT NULL,
    from_name  text NOT NULL,
    to_name    text NOT NULL,
    by_user    text NOT NULL,
    reason     text NOT NULL
);
CREATE INDEX host_events_by_host ON host_events (host, id);

-- What upkeep knows of the repositories on disk.
CREATE TABLE upkeep (
    repo_id   text NOT NULL PRIMARY KEY REFERENCES repos (id) ON DELETE CASCADE,
    condition text NOT NULL,
    since     integer NOT NULL,
    tidied    integer,
    repacked  integer,
    checked   integer,
    verified  integer,
    due       integer NOT NULL,
    failures  integer NOT NULL,
    problem   text
);
CREATE INDEX upkeep_due ON upkeep (due);
CREATE INDEX upkeep_degraded ON upkeep (repo_id) WHERE condition = 'degraded';

-- Rules that add what an owner has: JSON of what is wanted, '' = only what
-- somebody asks for; JSON of how the last listing went; when the next is due.
ALTER TABLE rules ADD COLUMN discovery text NOT NULL DEFAULT '';
ALTER TABLE rules ADD COLUMN listing text NOT NULL DEFAULT '';
ALTER TABLE rules ADD COLUMN listing_due integer;
