// Package cli is the program: flags, settings, the wiring of a server, the
// commands that talk to one, exit codes and progress on a terminal.
//
// serve.go is the map of the running server. Everything else here turns an
// argument list into calls of the other packages and their answers into text;
// it decides nothing about mirrors. It is the one place for cobra and koanf.
package cli
