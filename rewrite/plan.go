package rewrite

import (
	"fmt"
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// Plan is what a rewrite would change, and what it found out. Its JSON form is
// stable; fields may be added.
type Plan struct {
	Mode Mode        `json:"mode"`
	Form mirror.Form `json:"form"`
	Host string      `json:"host"`
	// Edits are the files whose bytes change, by name. Empty = nothing to do.
	Edits []Edit `json:"edits"`
	// Modules are all module versions the go command may read for the project,
	// without the main modules, by path and version.
	Modules  []Module `json:"modules"`
	Coverage Coverage `json:"coverage"`
	// Database is the checksum database that was asked; empty = go.sum was enough.
	Database string `json:"database,omitempty"`
	// Warnings are said and do not stop the rewrite.
	Warnings []string `json:"warnings,omitempty"`

	past    *record      // of an earlier rewrite, nil without one
	inPlace []recordEdit // replaces of the user whose right side is edited
	sums    []recordSum  // go.sum lines exchanged
}

// Edit is one file before and after. Name is relative to the project, with "/".
type Edit struct {
	Name    string  `json:"name"`
	Before  Content `json:"-"`
	After   Content `json:"-"`
	Created bool    `json:"created,omitempty"` // there is no such file yet
	Removed bool    `json:"removed,omitempty"` // there was none before the rewrite (revert only)
}

// Content is what is in a file. Of a go.sum it is lines that many files of a
// project share, and becomes bytes when somebody wants them.
type Content interface {
	// AppendTo appends the bytes to data.
	AppendTo(data []byte) []byte
}

// Text is the content of a file as bytes.
type Text []byte

// AppendTo implements Content.
func (t Text) AppendTo(data []byte) []byte { return append(data, t...) }

// bytesOf is content as bytes, which are not to be changed.
func bytesOf(c Content) []byte {
	switch c := c.(type) {
	case nil:
		return nil
	case Text:
		return c
	}
	return c.AppendTo(nil)
}

// Proof tells why the hashes of a replacement may be believed.
type Proof string

const (
	// BySum: the mirror's content has the checksum go.sum promised.
	BySum Proof = "go.sum"
	// ByDatabase: go.sum said nothing, and the content has the checksum that the
	// public log recorded.
	ByDatabase Proof = "checksum database"
	// ByTrust: neither knew it and TrustMirror was set.
	ByTrust Proof = "trusted"
	// Unused: no hash is written, so the go command will not use any content.
	Unused Proof = "unused"
)

// Module is one module version of the project.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Direct: required by a go.mod of the project without "// indirect".
	Direct bool        `json:"direct,omitempty"`
	Repo   mirror.Path `json:"repo,omitempty"`
	// Replacement is where it comes from now; empty = as before.
	Replacement mirror.ModuleVersion `json:"replacement,omitzero"`
	Proof       Proof                `json:"proof,omitempty"`
	// Problem says why the mirror does not serve it.
	Problem *mirror.Problem `json:"problem,omitempty"`
}

// Proofs counts the modules that are replaced by their proof.
func (p *Plan) Proofs() map[Proof]int {
	counts := map[Proof]int{}
	for _, m := range p.Modules {
		if m.Replacement.Path != "" {
			counts[m.Proof]++
		}
	}
	return counts
}

// Empty tells whether the project is already as the plan wants it.
func (p *Plan) Empty() bool { return len(p.Edits) == 0 }

// Coverage counts modules (paths, not versions).
type Coverage struct {
	Modules  int `json:"modules"`
	Mirrored int `json:"mirrored"`
	// Missing are the module versions the mirror does not serve.
	Missing []mirror.ModuleVersion `json:"missing,omitempty"`
	// Behind are the mirrors that Missing modules belong to: they lack the
	// version, or cannot serve it.
	Behind []mirror.Path `json:"behind,omitempty"`
	// Unmirrored are the paths of the Missing modules that no mirror serves.
	Unmirrored []string `json:"unmirrored,omitempty"`
	// DirectOnly: the plan's scope leaves indirect modules where they were.
	DirectOnly bool `json:"direct_only,omitempty"`
	// Patterns are the mirrored repositories as path prefixes, where git alone
	// leads to them (mode insteadof); see Unreachable for the others.
	Patterns []string `json:"patterns,omitempty"`
	// Unreachable are module paths that are mirrored, but whose discovery stays
	// on their own host in mode insteadof (vanity paths, gopkg.in).
	Unreachable []string `json:"unreachable,omitempty"`
}

// Complete tells whether the mirror serves everything the project needs.
func (c Coverage) Complete() bool { return len(c.Missing) == 0 }

// String is the report for people.
func (c Coverage) String() string {
	if c.Modules == 0 {
		return "no modules"
	}
	if c.Complete() {
		return fmt.Sprintf("%d of %d modules", c.Mirrored, c.Modules)
	}
	names := make([]string, len(c.Missing))
	for i, m := range c.Missing {
		names[i] = m.String()
	}
	these := fmt.Sprintf("these %d are", len(names))
	if len(names) == 1 {
		these = "this one is"
	}
	text := fmt.Sprintf("%d of %d modules; %s not mirrored: %s", c.Mirrored, c.Modules, these, few(names, ", "))
	if len(c.Unmirrored) > 0 {
		text += "\nadd what is not there: gitmirror mirror add --wait " + few(c.Unmirrored, " ")
	}
	if len(c.Behind) > 0 {
		behind := make([]string, len(c.Behind))
		for i, p := range c.Behind {
			behind[i] = string(p)
		}
		text += "\nlook for newer versions: gitmirror mirror sync --wait " + few(behind, " ")
	}
	return text
}

// few joins the first names and tells how many are left out.
func few(names []string, separator string) string {
	const most = 12
	if len(names) <= most {
		return strings.Join(names, separator)
	}
	return fmt.Sprintf("%s%s… (%d more; --json has all)", strings.Join(names[:most], separator), separator, len(names)-most)
}
