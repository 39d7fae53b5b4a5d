-- +goose Up
-- How large mirrors were: a row per mirror and day, written when a sync ends.
CREATE TABLE repo_sizes (
    repo_id text NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    day     integer NOT NULL, -- days since 1970, UTC
    bytes   integer NOT NULL,
    refs    integer NOT NULL, -- branches and tags
    PRIMARY KEY (repo_id, day)
);
