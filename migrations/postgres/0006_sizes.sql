-- +goose Up
-- How large mirrors were: a row per mirror and day, written when a sync ends.
CREATE TABLE repo_sizes (
    repo_id text COLLATE "C" NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    day     bigint NOT NULL, -- days since 1970, UTC
    bytes   bigint NOT NULL,
    refs    bigint NOT NULL, -- branches and tags
    PRIMARY KEY (repo_id, day)
);
