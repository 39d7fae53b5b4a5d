// Command gitmirror mirrors Git repositories and lets Go code be built with
// nothing but the mirror. See package cli.
package main

import (
	"context"
	"os"

	"github.com/gitmirror/gitmirror/cli"
)

// version is set by the linker for releases; see Makefile.
var version string

func main() {
	os.Exit(cli.Main(context.Background(), cli.Process{
		Args: os.Args, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Version: version,
	}))
}
