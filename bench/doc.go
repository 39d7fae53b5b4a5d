// Package bench holds benchmarks that compare gitmirror with a peer doing the
// same work in the same run, in turns, so that what else the machine does falls
// on both. They report ratios and CPU time; none of them can fail on a figure.
// README.md in this directory has figures and how to read them.
package bench
