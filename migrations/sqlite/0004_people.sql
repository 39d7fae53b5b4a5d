-- +goose Up
-- Groups of people, and which private mirrors each may read.
CREATE TABLE user_groups (
    id       text NOT NULL PRIMARY KEY,
    name     text NOT NULL,
    name_key text NOT NULL UNIQUE,
    created  integer NOT NULL
);
CREATE TABLE group_members (
    group_id text NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    origin   text NOT NULL, -- the issuer whose claim says so; '' = an administrator
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_by_user ON group_members (user_id);
CREATE TABLE grants (
    pattern     text NOT NULL,
    pattern_key text NOT NULL,
    group_id    text NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    created     integer NOT NULL,
    PRIMARY KEY (pattern_key, group_id)
);

-- Who somebody is at an OpenID provider.
CREATE TABLE external_identities (
    issuer    text NOT NULL,
    subject   text NOT NULL,
    user_id   text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email     text NOT NULL,
    created   integer NOT NULL,
    last_used integer,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_by_user ON external_identities (user_id);

-- Time-based one-time passwords: the secret is sealed, last_step is the last
-- time step that was used, codes holds hashes of the recovery codes as JSON.
CREATE TABLE second_factors (
    user_id   text NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret    blob NOT NULL,
    confirmed integer,
    last_step integer NOT NULL,
    codes     text NOT NULL,
    created   integer NOT NULL
);

-- Sign-ins to the console: a session goes on only while its row is here.
CREATE TABLE sign_ins (
    id      text NOT NULL PRIMARY KEY,
    user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    via     text NOT NULL,
    addr    text NOT NULL,
    agent   text NOT NULL,
    created integer NOT NULL,
    seen    integer NOT NULL,
    expires integer NOT NULL
);
CREATE INDEX sign_ins_by_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires);

-- Whose identity tokens are exchanged for API tokens, and for what.
CREATE TABLE trusts (
    id       text NOT NULL PRIMARY KEY,
    name     text NOT NULL,
    name_key text NOT NULL UNIQUE,
    issuer   text NOT NULL,
    audience text NOT NULL,
    claims   text NOT NULL, -- JSON: claim → pattern
    user_id  text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scope    text NOT NULL,
    ttl_us   integer NOT NULL,
    created  integer NOT NULL,
    last_used integer
);
CREATE INDEX trusts_by_issuer ON trusts (issuer);

ALTER TABLE tokens ADD COLUMN trust text NOT NULL DEFAULT ''; -- name of the trust that made it
ALTER TABLE tokens ADD COLUMN last_addr text NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN last_addr text NOT NULL DEFAULT '';
