package gittest

// Shapes are real modules of every shape a module path and its repository can
// have. All but those of Graph need nothing but modules of this list, so that a
// project which requires them builds with these repositories alone.
func Shapes() []Module {
	return []Module{
		{"github.com/spf13/pflag", "v1.0.4"}, // two versions of one module
		{"github.com/spf13/pflag", "v1.0.5"},
		{"github.com/pkg/errors", "v0.9.1"},                                    // v0 without go.mod
		{"github.com/BurntSushi/toml", "v1.3.2"},                               // upper case
		{"github.com/russross/blackfriday/v2", "v2.1.0"},                       // /v2 at the root
		{"github.com/hashicorp/golang-lru/v2", "v2.0.7"},                       // /v2 at the root …
		{"github.com/hashicorp/golang-lru/arc/v2", "v2.0.7"},                   // … and a nested module, tag arc/v2.0.7
		{"github.com/blang/semver", "v3.5.1+incompatible"},                     // no go.mod above v1 …
		{"github.com/blang/semver/v4", "v4.0.0"},                               // … and a directory v4 in the same repository
		{"github.com/dgrijalva/jwt-go", "v3.2.0+incompatible"},                 //
		{"gopkg.in/yaml.v2", "v2.4.0"},                                         // one repository for two
		{"gopkg.in/yaml.v3", "v3.0.1"},                                         // module paths
		{"gopkg.in/natefinch/lumberjack.v2", "v2.2.1"},                         // gopkg.in with an owner
		{"gopkg.in/check.v1", "v1.0.0-20201130134442-10cb98267c6c"},            // local pseudo-version without a tag
		{"github.com/davecgh/go-spew", "v1.1.1"},                               //
		{"github.com/davecgh/go-spew", "v1.1.2-0.20180830191138-d8f796af33cc"}, // local pseudo-version after a tag
		{"golang.org/x/sync", "v0.7.0"},                                        // vanity path
		{"go.uber.org/atomic", "v1.4.0"},                                       // vanity path
	}
}

// Graph are real modules whose own requirements are not listed here: good
// for hashes, not for builds.
func Graph() []Module {
	return []Module{
		{"rsc.io/quote/v3", "v3.1.0"}, // vanity path and directory v3
		{"rsc.io/quote", "v1.5.2"},
		{"github.com/googleapis/gax-go/v2", "v2.0.5"},
		{"go.etcd.io/etcd/api/v3", "v3.5.15"},
		{"google.golang.org/grpc/cmd/protoc-gen-go-grpc", "v1.5.1"},
		{"gopkg.in/yaml.v2", "v2.0.0"}, // gopkg.in without go.mod
		{"golang.org/x/mod", "v0.20.0"},
		{"go.uber.org/multierr", "v1.11.0"},
		{"miniflux.app", "v1.0.46"}, // the repository itself is named v2
	}
}
