package rewrite

import (
	"strings"

	"github.com/gitmirror/gitmirror/mirror"
)

// Codes of this package in the error catalogue (4 = what somebody typed or has on disk).
const (
	// CodeAddress: the mirror's address cannot stand in a module path.
	CodeAddress mirror.Code = "E4102"
	// CodeSum: content and go.sum disagree, or the server's answer contradicts itself.
	CodeSum mirror.Code = "E4104"
	// CodeProject: the project's files cannot be read or are not what they should be.
	CodeProject mirror.Code = "E4105"
	// CodeSettings: the client's settings work against the mirror.
	CodeSettings mirror.Code = "E4107"
	// CodeFiles: a file cannot be written, is locked, or changed meanwhile.
	CodeFiles mirror.Code = "E4109"
	// CodeRecord: the record of an earlier rewrite cannot be used.
	CodeRecord mirror.Code = "E4110"
	// CodeUnproven: go.sum holds nothing the mirror's content could be proven by.
	CodeUnproven mirror.Code = "E4111"
	// CodeCoverage: some modules are not on the mirror.
	CodeCoverage mirror.Code = "E4112"
)

// badProject is the Problem of a file of the project.
func badProject(what, why, do string) *mirror.Problem {
	return &mirror.Problem{Code: CodeProject, Kind: mirror.ErrInvalid, What: what, Why: why, Do: do}
}

// printable makes text of a server or a stranger's file harmless on a terminal.
func printable(text string) string {
	const most = 500
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= 0x20 && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(text, "?"))
}
