package web

// maxStreams bounds the event streams that are open at a time; each costs a
// connection, a goroutine and a watcher.
const maxStreams = 1000
