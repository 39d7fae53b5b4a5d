-- +goose Up
-- Hashes that files of module proxies had when they were first seen, of those that
-- the checksum database does not vouch for.
CREATE TABLE module_sums (
    module  text NOT NULL,
    version text NOT NULL,
    kind    text NOT NULL, -- 'mod' or 'zip'
    sum     text NOT NULL, -- as go.sum has it; 'sha256:…' of the bytes of a zip, or both
    source  text NOT NULL, -- the module proxy
    at      integer NOT NULL,
    PRIMARY KEY (module, version, kind)
);
