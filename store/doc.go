// Package store keeps what the domain knows in SQLite or PostgreSQL. It is the
// one place for gorm, the drivers and the migrations' runner, and the one that
// knows how domain values lie in rows.
//
// Every method is one statement or one transaction. Rows hold times as
// microseconds since 1970, UTC, so a time comes back exactly, cut to that.
package store
