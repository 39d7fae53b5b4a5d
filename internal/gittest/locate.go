package gittest

import (
	"fmt"
	"strings"

	"golang.org/x/mod/module"
)

// Module is a module version, as a go.mod names it.
type Module struct {
	Path    string
	Version string
}

func (m Module) String() string { return m.Path + "@" + m.Version }

// location is where a module version lives.
type location struct {
	repo string // git location, "github.com/go-yaml/yaml"
	dir  string // directory of the module in the repository, "" or "arc" or "v4"
	// prefix of its tags, "" or "arc/".
	prefix string
	tag    string // "v1.0.5", "arc/v2.0.7"; empty for a pseudo-version
}

// roots are import roots that are not the name of their repository.
func roots() map[string]string {
	return map[string]string{
		"cloud.google.com/go":         "github.com/googleapis/google-cloud-go",
		"go.etcd.io/etcd":             "github.com/etcd-io/etcd",
		"go.opencensus.io":            "github.com/census-instrumentation/opencensus-go",
		"go.opentelemetry.io/contrib": "github.com/open-telemetry/opentelemetry-go-contrib",
		"go.opentelemetry.io/otel":    "github.com/open-telemetry/opentelemetry-go",
		"go.opentelemetry.io/proto":   "github.com/open-telemetry/opentelemetry-proto-go",
		"go.yaml.in/yaml":             "github.com/yaml/go-yaml",
		"google.golang.org/api":       "github.com/googleapis/google-api-go-client",
		"google.golang.org/appengine": "github.com/golang/appengine",
		"google.golang.org/genproto":  "github.com/googleapis/go-genproto",
		"google.golang.org/grpc":      "github.com/grpc/grpc-go",
		"google.golang.org/protobuf":  "github.com/protocolbuffers/protobuf-go",
		"gorm.io/driver/postgres":     "github.com/go-gorm/postgres",
		"gorm.io/driver/sqlite":       "github.com/go-gorm/sqlite",
		"gorm.io/gorm":                "github.com/go-gorm/gorm",
		"honnef.co/go/tools":          "github.com/dominikh/go-tools",
		"miniflux.app":                "github.com/miniflux/v2",
		"nullprogram.com/x/optparse":  "github.com/skeeto/optparse-go",
	}
}

// hosts are vanity hosts with one repository per first element.
func hosts() map[string]string {
	return map[string]string{
		"c2sp.org/":     "github.com/C2SP/",
		"dario.cat/":    "github.com/darccio/",
		"filippo.io/":   "github.com/FiloSottile/",
		"golang.org/x/": "github.com/golang/",
		"go.uber.org/":  "github.com/uber-go/",
		"k8s.io/":       "github.com/kubernetes/",
		"modernc.org/":  "gitlab.com/cznic/",
		"rsc.io/":       "github.com/rsc/",
		"sigs.k8s.io/":  "github.com/kubernetes-sigs/",
	}
}

// majorDir tells whether the /vN of a module path is a directory of the
// repository; usually it is not.
func majorDir(path string) bool {
	switch path {
	case "github.com/blang/semver/v4", "github.com/googleapis/gax-go/v2", "rsc.io/quote/v3":
		return true
	}
	return false
}

// locate finds the repository, directory and tag of a module version.
func locate(m Module) (location, error) {
	prefix, major, ok := module.SplitPathVersion(m.Path)
	if !ok {
		return location{}, fmt.Errorf("%s: malformed module path", m)
	}
	root, repo := rootOf(m.Path)
	if repo == "" {
		return location{}, fmt.Errorf("%s: gittest does not know its repository; add it to locate.go", m)
	}
	loc := location{repo: repo}
	if strings.HasPrefix(prefix, root+"/") {
		loc.dir = prefix[len(root)+1:]
		loc.prefix = loc.dir + "/"
	}
	if !module.IsPseudoVersion(m.Version) {
		loc.tag = loc.prefix + strings.TrimSuffix(m.Version, "+incompatible")
	}
	if majorDir(m.Path) {
		loc.dir = strings.TrimPrefix(loc.dir+major, "/") // major is "/v4"
	}
	return loc, nil
}

// Root is the import root of a module path and its repository; both empty when
// nobody has told gittest.
func Root(path string) (root, repo string) { return rootOf(path) }

// rootOf returns the import root of a module path and its repository.
func rootOf(path string) (root, repo string) {
	element := strings.Split(path, "/")
	switch {
	case element[0] == "github.com" && len(element) >= 3:
		root = strings.Join(element[:3], "/")
		return root, root
	case element[0] == "gopkg.in" && len(element) == 2: // gopkg.in/yaml.v3
		name, _, _ := strings.Cut(element[1], ".v")
		return path, "github.com/go-" + name + "/" + name
	case element[0] == "gopkg.in" && len(element) == 3: // gopkg.in/natefinch/lumberjack.v2
		name, _, _ := strings.Cut(element[2], ".v")
		return path, "github.com/" + element[1] + "/" + name
	}
	for root, repo := range roots() {
		if path == root || strings.HasPrefix(path, root+"/") {
			return root, repo
		}
	}
	for host, owner := range hosts() {
		if rest, ok := strings.CutPrefix(path, host); ok {
			name, _, _ := strings.Cut(rest, "/")
			return host + name, owner + name
		}
	}
	return "", ""
}
