package web

import (
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gitmirror/gitmirror/mirror"
)

// embedded is read-only: the templates and static files of the console.
//
//go:embed templates static
var embedded embed.FS

// assets are the static files under names that hold a hash of their content, so
// browsers may keep them for ever and never show a stale one.
type assets struct {
	hashed map[string]string // "app.css" → "/static/app.1a2b3c4d.css"
	files  map[string]asset  // "app.1a2b3c4d.css" → file
}

type asset struct {
	mime   string
	data   []byte
	packed []byte // gzip
}

func loadAssets() (assets, error) {
	a := assets{hashed: map[string]string{}, files: map[string]asset{}}
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		return a, err
	}
	err = fs.WalkDir(static, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(static, name)
		if err != nil {
			return err
		}
		packed, err := pack(data, gzip.BestCompression)
		sum, ext := sha256.Sum256(data), path.Ext(name)
		kind := mime.TypeByExtension(ext)
		if kind == "" {
			kind = "text/plain; charset=utf-8"
		}
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:4]) + ext
		a.hashed[name], a.files[hashed] = "/static/"+hashed, asset{kind, data, packed}
		return err
	})
	return a, err
}

// url is the address of a static file. A name that does not exist fails the
// template, so the tests find it.
func (a assets) url(name string) (string, error) {
	url, ok := a.hashed[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return url, nil
}

func (c *console) static(g *gin.Context) error {
	file, ok := c.assets.files[strings.TrimPrefix(g.Param("file"), "/")]
	if !ok {
		return &mirror.Problem{Kind: mirror.ErrNotFound, What: "there is no such file"}
	}
	g.Header("Cache-Control", "public, max-age=31536000, immutable")
	g.Writer.Header().Add("Vary", "Accept-Encoding")
	if takesGzip(g.Request) {
		g.Header("Content-Encoding", "gzip")
		g.Data(http.StatusOK, file.mime, file.packed)
		return nil
	}
	g.Data(http.StatusOK, file.mime, file.data)
	return nil
}
