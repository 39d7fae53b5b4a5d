-- +goose Up
-- What was served of Go modules: of each, of each version, and by the day.
CREATE TABLE modules (
    path       text NOT NULL PRIMARY KEY,
    repo_id    text NOT NULL,    -- the mirror it was last made of; '' = it was had of others
    private    boolean NOT NULL, -- whether that mirror was
    source     text NOT NULL,
    versions   integer NOT NULL,
    requests   integer NOT NULL,
    hits       integer NOT NULL,
    downloads  integer NOT NULL,
    bytes      integer NOT NULL,
    first_used integer NOT NULL,
    last_used  integer NOT NULL
);
CREATE INDEX modules_by_downloads ON modules (downloads, path);
CREATE INDEX modules_by_bytes ON modules (bytes, path);
CREATE INDEX modules_by_use ON modules (last_used, path);

CREATE TABLE module_versions (
    module     text NOT NULL,
    version    text NOT NULL,
    source     text NOT NULL,
    size       integer NOT NULL, -- of the zip; 0 = not known
    zip_sum    text NOT NULL,    -- as go.sum has it; '' = not known
    mod_sum    text NOT NULL,
    proven     boolean NOT NULL, -- by the checksum database
    requests   integer NOT NULL,
    hits       integer NOT NULL,
    downloads  integer NOT NULL,
    bytes      integer NOT NULL,
    first_used integer NOT NULL,
    last_used  integer NOT NULL,
    PRIMARY KEY (module, version)
);
CREATE INDEX module_versions_by_use ON module_versions (last_used);

CREATE TABLE module_days (
    module    text NOT NULL,
    day       integer NOT NULL, -- since 1970, UTC
    requests  integer NOT NULL,
    downloads integer NOT NULL,
    bytes     integer NOT NULL,
    PRIMARY KEY (module, day)
);
CREATE INDEX module_days_by_age ON module_days (day);

-- What was refused to whom: the same within a day is one row.
CREATE TABLE module_refusals (
    id        integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    day       integer NOT NULL,
    kind      text NOT NULL,
    module    text NOT NULL,
    version   text NOT NULL,
    user_name text NOT NULL,
    address   text NOT NULL,
    source    text NOT NULL,
    text      text NOT NULL,
    times     integer NOT NULL,
    first_at  integer NOT NULL,
    last_at   integer NOT NULL,
    seen_by   text NOT NULL,
    seen      integer, -- when somebody said that they have seen it
    UNIQUE (day, kind, module, version, user_name, address, source)
);
CREATE INDEX module_refusals_by_time ON module_refusals (last_at, id);
CREATE INDEX module_refusals_by_module ON module_refusals (module, last_at, id);
CREATE INDEX module_refusals_open ON module_refusals (id) WHERE kind = 'forged' AND seen IS NULL;

-- What is never dropped to make room: until a time, or for good.
CREATE TABLE module_pins (
    module  text NOT NULL,
    version text NOT NULL, -- '' = every one
    until   integer,
    by_user text NOT NULL, -- '' = a client needed it
    reason  text NOT NULL,
    at      integer NOT NULL,
    PRIMARY KEY (module, version)
);
CREATE INDEX module_pins_by_end ON module_pins (until) WHERE until IS NOT NULL;

-- Rules for modules, those of lower position first.
CREATE TABLE module_rules (
    id       integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    position integer NOT NULL,
    action   text NOT NULL,
    pattern  text NOT NULL,
    versions text NOT NULL,
    age_us   integer NOT NULL,
    mode     text NOT NULL,
    reason   text NOT NULL,
    by_user  text NOT NULL,
    at       integer NOT NULL
);
CREATE INDEX module_rules_by_position ON module_rules (position, id);
