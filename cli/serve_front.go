package cli

import (
	"log/slog"
	"path/filepath"

	"github.com/gitmirror/gitmirror/git"
	"github.com/gitmirror/gitmirror/gitserver"
	"github.com/gitmirror/gitmirror/mirror"
)

// newGate bounds the packs that are made at once.
func newGate(c Config) *gitserver.Gate {
	return &gitserver.Gate{
		Total: c.count("serve.packs"), PerRepo: c.count("serve.packs_per_repo"), Each: c.count("serve.packs_per_client"),
		Wait: c.duration("serve.queue_wait"),
	}
}

// newFront speaks protocol v2 with git clients, and keeps what it has sent.
func newFront(c Config, disk *git.Disk, gate *gitserver.Gate, data *dataDir, room *mirror.Headroom, log *slog.Logger) (*gitserver.Front, error) {
	cache, err := gitserver.OpenCache(&gitserver.Cache{
		Dir: filepath.Join(data.Path, "answers"), MaxBytes: c.bytes("serve.cache_bytes"), MaxAge: c.duration("serve.cache_age"),
		Level: room.Level, Log: log,
	})
	if err != nil {
		return nil, startProblem("the cache of answers to git clients cannot be used", err, "free some space, or mend the permissions")
	}
	return &gitserver.Front{Packs: packs{disk}, Gate: gate, Cache: cache, TempDir: data.temp(), Log: log}, nil
}
