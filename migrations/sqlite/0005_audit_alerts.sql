-- +goose Up
-- Who did what: a chain of entries. hash covers the entry and the hash before
-- it; audit_head is its end, whose row is taken first by whoever adds one.
CREATE TABLE audit (
    seq     integer NOT NULL PRIMARY KEY,
    at      integer NOT NULL,
    actor   text NOT NULL, -- lower case; '' = nobody, or the server
    action  text NOT NULL,
    object  text NOT NULL, -- lower case, a line for each
    outcome text NOT NULL,
    entry   text NOT NULL, -- JSON, as it was hashed
    hash    text NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_time ON audit (at);

CREATE TABLE audit_head (
    id   integer NOT NULL PRIMARY KEY,
    seq  integer NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');

-- +goose StatementBegin
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only added to');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only added to');
END;
-- +goose StatementEnd

-- Alerts: where they go, what they are about, which are on now, and the
-- messages that are to be sent or were.
CREATE TABLE alert_channels (
    name     text NOT NULL PRIMARY KEY,
    kind     text NOT NULL,
    target   text NOT NULL, -- JSON, without secrets
    secret   blob, -- sealed
    created  integer NOT NULL,
    version  integer NOT NULL
);
CREATE TABLE alert_rules (
    name     text NOT NULL PRIMARY KEY,
    kind     text NOT NULL,
    terms    text NOT NULL, -- JSON: thresholds and channels
    disabled boolean NOT NULL,
    told     integer, -- when it last made a message
    created  integer NOT NULL,
    version  integer NOT NULL
);
CREATE TABLE alerts (
    rule     text NOT NULL REFERENCES alert_rules (name) ON DELETE CASCADE,
    subject  text NOT NULL,
    text     text NOT NULL,
    link     text NOT NULL,
    since    integer NOT NULL,
    over     integer, -- not seen any more since then
    told     integer, -- when a message said that it began
    PRIMARY KEY (rule, subject)
);
CREATE TABLE alert_messages (
    id       integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    channel  text NOT NULL,
    rule     text NOT NULL, -- '' = a trial
    at       integer NOT NULL,
    body     text NOT NULL, -- JSON
    attempts integer NOT NULL,
    due      integer, -- NULL = it was sent, or given up
    sent     integer,
    problem  text
);
CREATE INDEX alert_messages_due ON alert_messages (due) WHERE due IS NOT NULL;

-- Work that one server of several does; the owner renews it.
CREATE TABLE duties (
    name  text NOT NULL PRIMARY KEY,
    owner text NOT NULL,
    until integer NOT NULL
);

-- Answers to requests that came with an idempotency key.
CREATE TABLE answers (
    caller  text NOT NULL,
    key     text NOT NULL,
    request blob NOT NULL, -- SHA-256 of what was asked
    at      integer NOT NULL,
    status  integer NOT NULL, -- 0 = not answered yet
    answer  blob, -- sealed
    PRIMARY KEY (caller, key)
);
CREATE INDEX answers_by_time ON answers (at);
