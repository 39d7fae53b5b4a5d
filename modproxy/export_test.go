package modproxy

// Count counts an answer as the handler does.
func (u *Usage) Count(module, version string) {
	u.count(module, version, served{facts: useFacts{source: "https://proxy.test", zip: "h1:x=", size: 5}, hit: true, download: true, bytes: 5})
}

// Spool has no more than n bytes of one module kept unpacked.
func (r *Repos) Spool(n int64) { r.spooled = n }

// Rest waits until every transfer that was begun has ended: a client has its file
// before it is kept.
func (h *Handler) Rest() {
	if h.proxied != nil {
		h.proxied.fills.work.Wait()
	}
}
