package modproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gitmirror/gitmirror/mirror"
)

// gitOrigin is a module whose repository is mirrored.
type gitOrigin struct {
	h *Handler
	m *Module
}

func (o *gitOrigin) public() bool { return !o.m.Repo.Private }

func (o *gitOrigin) facts() useFacts {
	return useFacts{repo: o.m.Repo.ID, private: o.m.Repo.Private, source: mirror.ModuleOfMirror}
}

func (o *gitOrigin) versions(ctx context.Context) ([]string, how, error) {
	list, err := o.m.Versions(ctx)
	return list, byGit, err
}

func (o *gitOrigin) info(ctx context.Context, query string) (infoReply, error) {
	info, err := o.m.Stat(ctx, query)
	if err != nil {
		return infoReply{}, err
	}
	text, err := json.Marshal(info)
	return infoReply{info, text, byGit}, err
}

func (o *gitOrigin) mod(ctx context.Context, version string) ([]byte, how, error) {
	text, err := o.m.GoMod(ctx, version)
	return text, byGit, err
}

// madePrefix begins the keys of what was made of a mirror. They hold the commit:
// nothing changes when a tag moves, and each tree is read once.
const madePrefix = "git "

// zip is kept, or built in a temporary file, once for all who ask meanwhile, and
// then kept.
func (o *gitOrigin) zip(ctx context.Context, version string) (zipReply, error) {
	_, f, err := o.m.version(ctx, version)
	if err != nil {
		return nil, err
	}
	modSum := hashGoMod(goMod(f.gomod, o.m.Path))
	key := fmt.Sprintf("%s%s %s %q %s@%s.zip", madePrefix, o.m.Repo.ID, f.Hash, f.place.dir, o.m.Path, version)
	if k, ok := o.h.Store.Find(key); ok {
		if file, err := o.h.Store.Open(k); err == nil {
			return &keptZip{file, k, modSum}, nil
		}
	}
	z, err := o.h.zips.join(ctx, key, o.h.Repos.Temp, func(ctx context.Context, z *zipFile) (err error) {
		if _, ok := o.h.Store.Find(key); ok {
			return errMeanwhile
		}
		sum := sha256.New()
		if z.hash, err = o.m.Zip(ctx, version, io.MultiWriter(z.file, sum)); err != nil {
			return err
		}
		z.after = func() {
			o.keep(z, Kept{Key: key, Module: o.m.Path, Version: version, Kind: "zip", Sum: hex.EncodeToString(sum.Sum(nil)), Size: z.size,
				H1: z.hash, Proven: true, At: time.Now().UTC()})
		}
		return nil
	})
	if errors.Is(err, errMeanwhile) {
		return o.zip(ctx, version)
	}
	if err != nil {
		return nil, err
	}
	return &madeZip{z, modSum}, nil
}

// keep puts a zip that was made into the store. That it cannot is no failure.
func (o *gitOrigin) keep(z *zipFile, k Kept) {
	if o.h.Store.Full() {
		return
	}
	if err := o.h.Store.PutFile(k, z.file); err != nil && o.h.Log != nil {
		o.h.Log.Warn("keep a module's zip", "module", k.Module, "err", err)
	}
}

// madeZip is one that was just made.
type madeZip struct {
	z      *zipFile
	modSum string
}

func (m *madeZip) how() how { return byGit }
func (m *madeZip) close()   { m.z.leave() }
func (m *madeZip) facts() useFacts {
	size, _ := m.z.reader().Seek(0, io.SeekEnd) // of a section: it cannot fail
	return useFacts{zip: m.z.hash, mod: m.modSum, size: size}
}
func (m *madeZip) serve(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("ETag", `"`+m.z.hash+`"`)
	http.ServeContent(w, r, "", time.Time{}, m.z.reader())
	return nil
}

// keptZip is one in the store.
type keptZip struct {
	file   *os.File
	k      Kept
	modSum string // of the go.mod, when it was made of a mirror
}

func (z *keptZip) how() how { return byHit }
func (z *keptZip) close()   { z.file.Close() }

func (z *keptZip) facts() useFacts { return z.k.facts().merge(useFacts{mod: z.modSum}) }

// facts are what is known of the version of a file.
func (k Kept) facts() useFacts {
	f := useFacts{source: k.From}
	switch k.Kind {
	case "zip":
		f.size, f.zip, f.proven = k.Size, k.H1, k.Proven && !k.isMade()
	case "mod":
		f.mod = k.H1
	}
	return f
}
func (z *keptZip) serve(w http.ResponseWriter, r *http.Request) error {
	tag := z.k.Sum // of the bytes: proxies need not pack a module in the same way
	if z.k.isMade() {
		tag = z.k.H1
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, z.file)
	return nil
}

// smallZip is one in the store that is small enough to be in memory.
type smallZip struct {
	data []byte
	k    Kept
}

func (z *smallZip) how() how { return byHit }
func (z *smallZip) close()   {}

func (z *smallZip) facts() useFacts { return z.k.facts() }

func (z *smallZip) serve(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("ETag", `"`+z.k.Sum+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(z.data))
	return nil
}
