-- +goose Up
-- Mirrors that are kept as an archive, since their original is gone.
ALTER TABLE repos ADD COLUMN archived bigint; -- since when it is gone; NULL = it is no archive
