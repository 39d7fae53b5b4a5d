package mirror

// Class groups failures by what is done about them, apart from telling people:
// docs/sync.md has the table.
type Class string

// The classes. A failure without one is a bug of ours, or a mapping that cannot
// be right; it backs off like any other.
const (
	// Throttled: the upstream limits us. Nobody asks that host with that
	// credential, nor for that repository, before Problem.RetryAfter.
	Throttled Class = "throttled"
	// ThrottledAnonymous: it limits those who do not sign in. A credential helps.
	ThrottledAnonymous Class = "throttled-anonymous"
	// Ambiguous: refused or missing (401, 403, 404). Hosts say so when a
	// repository is gone, when a credential is, and when they are overloaded, so
	// one such answer proves nothing.
	Ambiguous Class = "ambiguous"
	// Network: the road, not the peer: names, connections, TLS, stalls, early ends.
	Network Class = "network"
	// Moved: it answers with a redirect to Problem.Location.
	Moved Class = "moved"
	// ServerTrouble: the upstream itself is in trouble (5xx).
	ServerTrouble Class = "upstream"
	// Content: what it sent fails the checks.
	Content Class = "content"
	// Local: this machine's disk or database.
	Local Class = "local"
)

// Class says what kind of failure p is.
func (p *Problem) Class() Class {
	if p == nil {
		return ""
	}
	switch p.Code {
	case CodeThrottled:
		return Throttled
	case CodeAnonymous:
		return ThrottledAnonymous
	case CodeAuth, CodeGone:
		return Ambiguous
	case CodeDNS, CodeConnect, CodeTLS, CodeStalled, CodeCutOff:
		return Network
	case CodeRedirect:
		return Moved
	case CodeServer:
		return ServerTrouble
	case CodeCorrupt, CodeFsck:
		return Content
	case CodeDisk, CodeLocal, CodeDamaged:
		return Local
	}
	return ""
}
