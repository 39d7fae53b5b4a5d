package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/gitmirror/gitmirror/mirror"
)

const envPrefix = "GITMIRROR_"

// otherEnv are variables with our prefix that are no settings.
var otherEnv = []string{"GITMIRROR_CONFIG", "GITMIRROR_SERVER", "GITMIRROR_TOKEN", "GITMIRROR_ADMIN_PASSWORD"}

// addConfigFlags gives flags one flag for each setting, and --config.
func addConfigFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "settings file in YAML (default: <data>/gitmirror.yaml)")
	for _, s := range settings {
		flags.String(s.flag(), s.Default, s.Help)
	}
}

// layer is one source of settings: flattened keys to texts.
type layer struct {
	values map[string]string
	origin func(key string) string
}

// readConfig reads flag > environment > file > default, and refuses keys it
// does not know and values of the wrong type.
func (p *program) readConfig(given *pflag.FlagSet) (Config, error) {
	flags, err := flagLayer(given)
	if err != nil {
		return Config{}, err
	}
	environment, err := p.envLayer()
	if err != nil {
		return Config{}, err
	}
	defaults, err := defaultLayer()
	if err != nil {
		return Config{}, err
	}
	// Where the file is may itself be a flag or in the environment.
	path, explicit := given.Lookup("config").Value.String(), true
	if path == "" {
		path = p.lookup("GITMIRROR_CONFIG")
	}
	if path == "" {
		data := mergeLayers(defaults, environment, flags).values["data"].Text
		path, explicit = filepath.Join(data, "gitmirror.yaml"), false
	}
	fromFile, err := fileLayer(path, explicit)
	if err != nil {
		return Config{}, err
	}
	if elsewhere, ok := fromFile.values["data"]; ok && !explicit {
		return Config{}, configProblem(fmt.Sprintf("%s sets data to %s", path, elsewhere),
			"the file was found by the data directory it lies in", "remove the key, or name the file with --config")
	}
	c := mergeLayers(defaults, fromFile, environment, flags)
	for _, s := range settings {
		v := c.values[s.Key]
		if v.Text == "" && s.Default == "" {
			continue // not set
		}
		if why := s.Kind.check(v.Text); why != "" {
			return Config{}, configProblem(fmt.Sprintf("%s is %q, which is not a %s (%s)", s.Key, s.mask(v.Text), s.Kind.Name, v.Origin), "", why)
		}
	}
	return c, c.check()
}

// mergeLayers lets later layers win.
func mergeLayers(layers ...layer) Config {
	c := Config{values: map[string]value{}}
	for _, s := range settings {
		c.values[s.Key] = value{Origin: "default"}
	}
	for _, l := range layers {
		for key, text := range l.values {
			c.values[key] = value{Text: text, Origin: l.origin(key)}
		}
	}
	return c
}

func defaultLayer() (layer, error) {
	values := map[string]any{}
	for _, s := range settings {
		if s.Default != "" {
			values[s.Key] = s.Default
		}
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
		return layer{}, err
	}
	return flatten(k, func(string) string { return "default" })
}

// flagLayer holds the flags that were given; those with their default say nothing.
func flagLayer(given *pflag.FlagSet) (layer, error) {
	keys := map[string]string{}
	for _, s := range settings {
		keys[s.flag()] = s.Key
	}
	changed := pflag.NewFlagSet("", pflag.ContinueOnError)
	given.Visit(func(f *pflag.Flag) {
		if keys[f.Name] != "" {
			changed.AddFlag(f)
		}
	})
	k := koanf.New(".")
	byFlag := func(f *pflag.Flag) (string, any) { return keys[f.Name], f.Value.String() }
	if err := k.Load(posflag.ProviderWithFlag(changed, ".", k, byFlag), nil); err != nil {
		return layer{}, err
	}
	return flatten(k, func(key string) string {
		s, _ := settingOf(key)
		return "flag --" + s.flag()
	})
}

func (p *program) envLayer() (layer, error) {
	var unknown string
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return p.environ },
		TransformFunc: func(name, text string) (string, any) {
			i := slices.IndexFunc(settings, func(s setting) bool { return s.env() == name })
			switch {
			case i >= 0 && text != "":
				return settings[i].Key, text
			case i < 0 && !slices.Contains(otherEnv, name) && !fromKubernetes(name):
				unknown = name
			}
			return "", nil
		},
	}), nil)
	if err != nil {
		return layer{}, err
	}
	if unknown != "" {
		known := slices.Clone(otherEnv)
		for _, s := range settings {
			known = append(known, s.env())
		}
		return layer{}, unknownKey("environment variable "+unknown, nearest(unknown, known))
	}
	return flatten(k, func(key string) string {
		s, _ := settingOf(key)
		return "environment " + s.env()
	})
}

// fromKubernetes tells variables that Kubernetes gives to every pod next to a
// service called gitmirror; nobody wrote them.
func fromKubernetes(name string) bool {
	return name == "GITMIRROR_PORT" || strings.HasPrefix(name, "GITMIRROR_PORT_") || strings.HasPrefix(name, "GITMIRROR_SERVICE_")
}

func fileLayer(path string, explicit bool) (layer, error) {
	k := koanf.New(".")
	err := k.Load(file.Provider(path), yaml.Parser())
	var unread *fs.PathError
	switch {
	case !explicit && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)):
		return layer{}, nil
	case errors.As(err, &unread):
		return layer{}, configProblem("the settings file "+path+" cannot be read", err.Error(), "check the path and its mode")
	case err != nil:
		return layer{}, configProblem("the settings file "+path+" is not YAML", err.Error(), "mend the line it names; \"gitmirror config show\" lists the keys")
	}
	for _, key := range k.Keys() {
		if _, ok := settingOf(key); ok {
			continue
		}
		known := make([]string, len(settings))
		for i, s := range settings {
			known[i] = s.Key
		}
		return layer{}, unknownKey("key "+key+" in "+path, nearest(key, known))
	}
	return flatten(k, func(string) string { return "file " + path })
}

// flatten turns what koanf holds into texts.
func flatten(k *koanf.Koanf, origin func(string) string) (layer, error) {
	l := layer{values: map[string]string{}, origin: origin}
	for key, v := range k.All() {
		switch v := v.(type) {
		case nil:
		case string, bool, int, int64, uint64, float64:
			l.values[key] = fmt.Sprint(v)
		default:
			return layer{}, configProblem(fmt.Sprintf("%s is not a single value (%s)", key, origin(key)), "", "write one text, number, true or false")
		}
	}
	return l, nil
}

func unknownKey(what, near string) error {
	do := "\"gitmirror config show\" lists the keys"
	if near != "" {
		do = "did you mean " + near + "? " + do
	}
	return configProblem("there is no setting for the "+what, "", do)
}

func configProblem(what, why, do string) error {
	return &mirror.Problem{Code: codeConfig, Kind: mirror.ErrInvalid, What: what, Why: why, Do: do}
}

// bareSwitches lets the flag of a yes-or-no setting stand alone: it then means
// true. With a value behind it ("--auth-anonymous-read false") it is left as it is.
func bareSwitches(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		alone := i+1 == len(args) || strings.HasPrefix(args[i+1], "-")
		if alone && slices.ContainsFunc(settings, func(s setting) bool { return s.Kind.Name == boolKind.Name && arg == "--"+s.flag() }) {
			out[i] += "=true"
		}
	}
	return out
}
