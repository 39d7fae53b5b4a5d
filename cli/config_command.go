package cli

import (
	"github.com/spf13/cobra"
)

// settingDoc is a setting in the JSON of "config show".
type settingDoc struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	Env    string `json:"env"`
	Flag   string `json:"flag"`
	Help   string `json:"help"`
}

func (p *program) configCommand() *cobra.Command {
	show := p.withJSON(&cobra.Command{
		Use: "show [KEY]", Short: "Print the effective settings and where each is from", Args: args(0, 1),
		ValidArgs: settingKeys(),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			docs := c.docs()
			if len(args) == 1 {
				s, ok := settingOf(args[0])
				if !ok {
					return unknownKey("key "+args[0], nearest(args[0], settingKeys()))
				}
				for _, d := range docs {
					if d.Key == s.Key {
						docs = []settingDoc{d}
						break
					}
				}
			}
			if p.json {
				return p.emit(docs)
			}
			rows := make([]row, len(docs))
			for i, d := range docs {
				rows[i] = row{d.Key, d.Value, d.Origin}
			}
			p.table("", row{"KEY", "VALUE", "ORIGIN"}, rows)
			return nil
		},
	})
	addConfigFlags(show.Flags())
	return p.group("config", "Look at the settings of the server", show)
}

func settingKeys() []string {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.Key
	}
	return keys
}

// docs are all settings with secrets masked; what is worked out from other
// settings is shown as it will be.
func (c Config) docs() []settingDoc {
	docs := make([]settingDoc, len(settings))
	for i, s := range settings {
		v := c.values[s.Key]
		text := s.mask(v.Text)
		if text == "" {
			switch s.Key {
			case "public_url":
				text = publicURL(c, c.text("http.addr"))
			case "database.url":
				text = c.database()
			}
		}
		docs[i] = settingDoc{Key: s.Key, Value: text, Origin: v.Origin, Env: s.env(), Flag: "--" + s.flag(), Help: s.Help}
	}
	return docs
}
