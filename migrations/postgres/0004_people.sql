-- +goose Up
-- Groups of people, and which private mirrors each may read.
CREATE TABLE user_groups (
    id       text COLLATE "C" NOT NULL PRIMARY KEY,
    name     text COLLATE "C" NOT NULL,
    name_key text COLLATE "C" NOT NULL UNIQUE,
    created  bigint NOT NULL
);
CREATE TABLE group_members (
    group_id text COLLATE "C" NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    origin   text COLLATE "C" NOT NULL, -- the issuer whose claim says so; '' = an administrator
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_by_user ON group_members (user_id);
CREATE TABLE grants (
    pattern     text COLLATE "C" NOT NULL,
    pattern_key text COLLATE "C" NOT NULL,
    group_id    text COLLATE "C" NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    created     bigint NOT NULL,
    PRIMARY KEY (pattern_key, group_id)
);

-- Who somebody is at an OpenID provider.
CREATE TABLE external_identities (
    issuer    text COLLATE "C" NOT NULL,
    subject   text COLLATE "C" NOT NULL,
    user_id   text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email     text COLLATE "C" NOT NULL,
    created   bigint NOT NULL,
    last_used bigint,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_by_user ON external_identities (user_id);

-- Time-based one-time passwords: the secret is sealed, last_step is the last
-- time step that was used, codes holds hashes of the recovery codes as JSON.
CREATE TABLE second_factors (
    user_id   text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret    bytea NOT NULL,
    confirmed bigint,
    last_step bigint NOT NULL,
    codes     text COLLATE "C" NOT NULL,
    created   bigint NOT NULL
);

-- Sign-ins to the console: a session goes on only while its row is here.
CREATE TABLE sign_ins (
    id      text COLLATE "C" NOT NULL PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    via     text COLLATE "C" NOT NULL,
    addr    text COLLATE "C" NOT NULL,
    agent   text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    seen    bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX sign_ins_by_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires);

-- Whose identity tokens are exchanged for API tokens, and for what.
CREATE TABLE trusts (
    id       text COLLATE "C" NOT NULL PRIMARY KEY,
    name     text COLLATE "C" NOT NULL,
    name_key text COLLATE "C" NOT NULL UNIQUE,
    issuer   text COLLATE "C" NOT NULL,
    audience text COLLATE "C" NOT NULL,
    claims   text COLLATE "C" NOT NULL, -- JSON: claim → pattern
    user_id  text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scope    text COLLATE "C" NOT NULL,
    ttl_us   bigint NOT NULL,
    created  bigint NOT NULL,
    last_used bigint
);
CREATE INDEX trusts_by_issuer ON trusts (issuer);

ALTER TABLE tokens ADD COLUMN trust text COLLATE "C" NOT NULL DEFAULT ''; -- name of the trust that made it
ALTER TABLE tokens ADD COLUMN last_addr text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN last_addr text COLLATE "C" NOT NULL DEFAULT '';
