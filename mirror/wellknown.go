package mirror

import (
	"regexp"
	"strings"
)

// gopkgPath is the URL pattern of gopkg.in: pkg.vN or user/pkg.vN.
var gopkgPath = regexp.MustCompile(`^gopkg\.in/(?:([a-zA-Z0-9][-a-zA-Z0-9]+)/)?([a-zA-Z][-.a-zA-Z0-9]*)\.(v(?:0|[1-9][0-9]*)(?:-unstable)?)(?:/|$)`)

func isGopkg(prefix string) bool { return strings.HasPrefix(prefix, "gopkg.in/") }

// vanity holds import prefixes whose repository has been in one place on GitHub
// for years, so that mirroring them needs no look at the vanity host. A "*" is
// one path element and is put where the "*" of the repository is; the longest
// prefix wins. An Alias in the database goes before this table.
var vanity = map[string]string{
	"cloud.google.com/go":         "github.com/googleapis/google-cloud-go",
	"dario.cat/mergo":             "github.com/darccio/mergo",
	"filippo.io/*":                "github.com/FiloSottile/*",
	"go.etcd.io/*":                "github.com/etcd-io/*",
	"go.mongodb.org/mongo-driver": "github.com/mongodb/mongo-go-driver",
	"go.opencensus.io":            "github.com/census-instrumentation/opencensus-go",
	"go.opentelemetry.io/auto":    "github.com/open-telemetry/opentelemetry-go-instrumentation",
	"go.opentelemetry.io/contrib": "github.com/open-telemetry/opentelemetry-go-contrib",
	"go.opentelemetry.io/otel":    "github.com/open-telemetry/opentelemetry-go",
	"go.opentelemetry.io/proto":   "github.com/open-telemetry/opentelemetry-proto-go",
	"go.starlark.net":             "github.com/google/starlark-go",
	"go.uber.org/*":               "github.com/uber-go/*",
	"go.yaml.in/yaml":             "github.com/yaml/go-yaml",
	"gocloud.dev":                 "github.com/google/go-cloud",
	"golang.org/x/*":              "github.com/golang/*",
	"google.golang.org/api":       "github.com/googleapis/google-api-go-client",
	"google.golang.org/appengine": "github.com/golang/appengine",
	"google.golang.org/genproto":  "github.com/googleapis/go-genproto",
	"google.golang.org/grpc":      "github.com/grpc/grpc-go",
	"google.golang.org/protobuf":  "github.com/protocolbuffers/protobuf-go",
	"gorm.io/*":                   "github.com/go-gorm/*",
	"gorm.io/driver/*":            "github.com/go-gorm/*",
	"gotest.tools":                "github.com/gotestyourself/gotest.tools",
	"honnef.co/go/tools":          "github.com/dominikh/go-tools",
	"k8s.io/*":                    "github.com/kubernetes/*",
	"miniflux.app":                "github.com/miniflux/v2",
	"mvdan.cc/*":                  "github.com/mvdan/*",
	"rsc.io/*":                    "github.com/rsc/*",
	"sigs.k8s.io/*":               "github.com/kubernetes-sigs/*",
}

// wellKnown locates gopkg.in paths and the prefixes of vanity.
func wellKnown(importPath string) (Location, bool) {
	if m := gopkgPath.FindStringSubmatch(importPath); m != nil {
		owner, name := m[1], m[2]
		if owner == "" {
			owner = "go-" + name
		}
		return Location{
			Path:   Path("github.com/" + owner + "/" + name),
			Prefix: strings.TrimSuffix(m[0], "/"),
			Found:  "built-in",
		}, true
	}
	for prefix := range prefixes(importPath) {
		repo, name := vanity[prefix], ""
		if i := strings.LastIndexByte(prefix, '/'); repo == "" && i > 0 {
			repo, name = vanity[prefix[:i]+"/*"], prefix[i+1:]
		}
		if repo == "" {
			continue
		}
		path, err := ParsePath(strings.Replace(repo, "*", name, 1))
		if err != nil {
			return Location{}, false
		}
		return Location{Path: path, Prefix: prefix, Found: "built-in"}, true
	}
	return Location{}, false
}
