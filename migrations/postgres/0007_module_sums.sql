-- +goose Up
-- Hashes that files of module proxies had when they were first seen, of those that
-- the checksum database does not vouch for.
CREATE TABLE module_sums (
    module  text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL, -- 'mod' or 'zip'
    sum     text COLLATE "C" NOT NULL, -- as go.sum has it; 'sha256:…' of the bytes of a zip, or both
    source  text COLLATE "C" NOT NULL, -- the module proxy
    at      bigint NOT NULL,
    PRIMARY KEY (module, version, kind)
);
