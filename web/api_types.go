package web

import (
	"time"

	"github.com/gitmirror/gitmirror/auth"
	"github.com/gitmirror/gitmirror/mirror"
)

// The types below are the JSON of the API, for this server and for clients
// written in Go. Times are RFC 3339 in UTC and left out when it never happened;
// durations are seconds and say so in their names.

// Mirror is a mapping and what the syncer knows of it.
type Mirror struct {
	ID         mirror.ID        `json:"id"`
	Path       mirror.Path      `json:"path" example:"github.com/spf13/cobra"`
	Upstream   string           `json:"upstream" example:"https://github.com/spf13/cobra"`
	Credential string           `json:"credential,omitempty" doc:"Name of the stored credential the upstream wants"`
	Private    bool             `json:"private" doc:"Never read without signing in"`
	IntervalS  int64            `json:"interval_s" doc:"Seconds between syncs; 0 = adapts to how often upstream changes"`
	Tags       mirror.TagPolicy `json:"tags" enum:"freeze,follow" doc:"What happens to a tag that upstream moves"`
	Refs       mirror.RefPolicy `json:"refs" doc:"Which of upstream's refs are mirrored; empty = all branches and tags"`
	Paused     bool             `json:"paused"`
	Archived   time.Time        `json:"archived_since,omitzero" doc:"Since when the original is gone of a mirror that is kept as an archive: paused, and no failure"`
	Version    int64            `json:"version" doc:"Grows with every edit; also the ETag"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`

	State    mirror.Status    `json:"state" enum:"queued,cloning,ready,syncing,retrying,failed,paused"`
	Phase    mirror.Phase     `json:"phase,omitempty" doc:"Step of the sync that is running"`
	Progress *mirror.Progress `json:"progress,omitempty" doc:"Of the sync that is running"`
	Error    *mirror.Problem  `json:"error,omitempty" doc:"Why the last attempt failed"`
	Failures int              `json:"failures" doc:"Failed attempts in a row"`

	LastAttemptAt time.Time `json:"last_attempt_at,omitzero"`
	LastSuccessAt time.Time `json:"last_success_at,omitzero" doc:"Last time it was in step with upstream"`
	LastChangeAt  time.Time `json:"last_change_at,omitzero" doc:"Last time upstream had something new"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	NextWhy       string    `json:"next_why,omitempty" doc:"Why then, in words; only where one mirror is shown" example:"every 2m because clients use it"`
	DataAgeS      *int64    `json:"data_age_s,omitempty" doc:"Seconds since the last success; absent before the first"`

	DefaultBranch string `json:"default_branch,omitempty" example:"main"`
	Branches      int    `json:"branches"`
	TagCount      int    `json:"tag_count"`
	Bytes         int64  `json:"bytes" doc:"On disk"`

	CloneHTTP string `json:"clone_http"`
	CloneSSH  string `json:"clone_ssh,omitempty"`

	Upkeep *Upkeep `json:"upkeep,omitempty" doc:"How the copy on disk is; only where one mirror is shown"`
}

// Mirrors is a page of them, by path.
type Mirrors struct {
	Items      []Mirror `json:"items"`
	NextCursor string   `json:"next_cursor,omitempty" doc:"Present when there are more; give it as cursor"`
}

// NewMirror asks for a mirror.
type NewMirror struct {
	PathOrURL  string `json:"path_or_url" doc:"A path, an import path, a URL or user@host:path" example:"github.com/spf13/cobra"`
	Module     bool   `json:"module,omitempty" doc:"It is the path of a Go module, as go.mod has it"`
	Upstream   string `json:"upstream,omitempty" doc:"Where it comes from, when that does not follow from the path"`
	IntervalS  int64  `json:"interval_s,omitempty" minimum:"0" maximum:"2592000" doc:"Seconds between syncs; 0 = adapts"`
	Credential string `json:"credential,omitempty" maxLength:"500" doc:"Name of a stored credential"`
	Private    bool   `json:"private,omitempty"`
	Tags       string `json:"tags,omitempty" enum:"freeze,follow"`

	Refs *mirror.RefPolicy `json:"refs,omitempty" doc:"Which refs; absent = all branches and tags"`
}

// AddMirrors is the body of POST /mirrors: one mirror, or several in Mirrors.
type AddMirrors struct {
	PathOrURL  string `json:"path_or_url,omitempty" doc:"A path, an import path, a URL or user@host:path" example:"github.com/spf13/cobra"`
	Upstream   string `json:"upstream,omitempty" doc:"Where it comes from, when that does not follow from the path"`
	IntervalS  int64  `json:"interval_s,omitempty" minimum:"0" maximum:"2592000" doc:"Seconds between syncs; 0 = adapts"`
	Credential string `json:"credential,omitempty" maxLength:"500" doc:"Name of a stored credential"`
	Private    bool   `json:"private,omitempty"`
	Tags       string `json:"tags,omitempty" enum:"freeze,follow"`

	Refs *mirror.RefPolicy `json:"refs,omitempty" doc:"Which refs; absent = all branches and tags"`

	Mirrors []NewMirror `json:"mirrors,omitempty" minItems:"1" maxItems:"1000" doc:"Several at once; the other fields are then absent"`
}

// AddedMirrors answers POST /mirrors, in the order of what was asked for.
type AddedMirrors struct {
	Items []AddedMirror `json:"items"`
}

// AddedMirror is one of them: Mirror or, when several were asked for at once
// and this one cannot be, Error.
type AddedMirror struct {
	Mirror  *Mirror         `json:"mirror,omitempty"`
	Existed bool            `json:"existed" doc:"It was mirrored before"`
	Error   *mirror.Problem `json:"error,omitempty"`
}

// EditMirror changes what is present.
type EditMirror struct {
	Upstream   *string `json:"upstream,omitempty"`
	IntervalS  *int64  `json:"interval_s,omitempty" minimum:"0" maximum:"2592000" doc:"Seconds between syncs; 0 = adapts"`
	Credential *string `json:"credential,omitempty" maxLength:"500" doc:"Name of a stored credential; empty = none"`
	Private    *bool   `json:"private,omitempty"`
	Tags       *string `json:"tags,omitempty" enum:"freeze,follow"`
	Paused     *bool   `json:"paused,omitempty" doc:"false also ends an archive"`
	Archived   *bool   `json:"archived,omitempty" doc:"true = keep what is here of an original that is gone: no longer synced, and no failure; false = sync it again"`

	Refs *mirror.RefPolicy `json:"refs,omitempty" doc:"Which refs, as a whole; {} = all branches and tags"`
}

// Synced answers POST /mirrors/{mirror}/sync.
type Synced struct {
	Mirror Mirror `json:"mirror"`
	// Run answers the request; nil when it had not ended within wait_s.
	Run *Run `json:"run,omitempty"`
	// LastRun is the newest run there was before: later ones have a higher id.
	LastRun int64 `json:"last_run" doc:"Id of the newest run before this request"`
}

// Run is one sync.
type Run struct {
	ID        int64           `json:"id"`
	Mirror    mirror.ID       `json:"mirror"`
	Trigger   mirror.Trigger  `json:"trigger"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   time.Time       `json:"ended_at,omitzero" doc:"Absent while it runs"`
	DurationS float64         `json:"duration_s" doc:"So far, while it runs"`
	Outcome   mirror.Outcome  `json:"outcome,omitempty" doc:"unchanged, updated, failed or interrupted; absent while it runs"`
	Created   int             `json:"created" doc:"Refs"`
	Updated   int             `json:"updated" doc:"Refs"`
	Deleted   int             `json:"deleted" doc:"Refs"`
	Bytes     int64           `json:"bytes" doc:"Received"`
	Error     *mirror.Problem `json:"error,omitempty"`
}

// Runs is a page of them, newest first.
type Runs struct {
	Items      []Run  `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// Ref is a branch, a tag, or a ref that upstream no longer has and we keep.
type Ref struct {
	Name   string `json:"name" example:"refs/tags/v1.9.1"`
	Hash   string `json:"hash"`
	Commit string `json:"commit" doc:"Of an annotated tag, what it leads to; else the hash"`
	Kind   string `json:"kind" enum:"branch,tag,pull,kept,held,other"`
}

// Refs is a page of them, by name.
type Refs struct {
	Head       string `json:"head,omitempty" example:"refs/heads/main"`
	Items      []Ref  `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// Event is something worth knowing about a mirror, apart from ordinary syncs.
type Event struct {
	ID     int64            `json:"id"`
	Mirror mirror.ID        `json:"mirror"`
	Run    int64            `json:"run"`
	At     time.Time        `json:"at"`
	Kind   mirror.EventKind `json:"kind"`
	Code   mirror.Code      `json:"code,omitempty" example:"E1401" doc:"Entry of the error catalogue that explains it"`
	Ref    string           `json:"ref,omitempty"`
	Old    string           `json:"old,omitempty"`
	New    string           `json:"new,omitempty"`
	Text   string           `json:"text,omitempty"`
}

// Events is a page of them, newest first.
type Events struct {
	Items      []Event `json:"items"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// Alias says in which repository the import paths under a prefix live.
type Alias struct {
	Prefix string `json:"prefix" minLength:"1" maxLength:"500" example:"golang.org/x/mod"`
	Repo   string `json:"repo" minLength:"1" maxLength:"500" example:"github.com/golang/mod"`
	Dir    string `json:"dir,omitempty" maxLength:"500" doc:"Directory the prefix stands for"`
	Found  string `json:"found,omitempty" readOnly:"true" doc:"Where it is from: admin, go-import or built-in"`

	Version string `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// Rule admits repositories on first use.
type Rule struct {
	Pattern    string         `json:"pattern" minLength:"1" maxLength:"500" example:"github.com/acme/*"`
	Credential string         `json:"credential,omitempty" maxLength:"500"`
	Private    bool           `json:"private,omitempty"`
	Discover   *RuleDiscovery `json:"discover,omitempty" doc:"Add what the owner has as the host's API lists it, now and every hour; absent = only what somebody asks for"`
	Listing    *RuleListing   `json:"listing,omitempty" readOnly:"true" doc:"The last look at the owner"`
	Version    string         `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// RuleDiscovery says which of an owner's repositories are added.
type RuleDiscovery struct {
	Archived bool     `json:"archived,omitempty" doc:"Archived ones as well"`
	Forks    bool     `json:"forks,omitempty" doc:"Forks as well"`
	Exclude  []string `json:"exclude,omitempty" maxItems:"1000" doc:"Names that are not wanted; * and ? stand for anything" example:"[\"legacy-*\"]"`
}

// EditRule changes a rule.
type EditRule struct {
	Discover *RuleDiscovery `json:"discover,omitempty" doc:"Absent = only what somebody asks for"`
}

// RuleListing is how a look at what an owner has went.
type RuleListing struct {
	At      time.Time       `json:"at"`
	Found   int             `json:"found" doc:"Repositories the owner has"`
	Skipped int             `json:"skipped" doc:"Of them, those the rule is not for"`
	Added   int             `json:"added" doc:"Mirrors added when there last was something new"`
	Failed  int             `json:"failed,omitempty" doc:"Repositories that could not be added; tried again"`
	Cut     bool            `json:"cut,omitempty" doc:"The owner has more than are listed"`
	Error   *mirror.Problem `json:"error,omitempty" doc:"Why the last look failed"`
}

// Credential is a stored upstream credential. Its secret is never sent out.
type Credential struct {
	Name      string    `json:"name"`
	Host      string    `json:"host" doc:"The only host it is ever sent to"`
	User      string    `json:"user,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Version   string    `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// NewCredential stores one, replacing one of the same name.
type NewCredential struct {
	Name   string `json:"name" minLength:"1" maxLength:"500"`
	Host   string `json:"host" minLength:"1" maxLength:"253"`
	User   string `json:"user,omitempty" maxLength:"200"`
	Secret string `json:"secret" minLength:"1" maxLength:"20000" writeOnly:"true" doc:"Password or token; it cannot be read back"`
}

// Identity is who asks.
type Identity struct {
	ID    string     `json:"id"`
	Name  string     `json:"name"`
	Role  auth.Role  `json:"role"`
	Scope auth.Scope `json:"scope"`
	Via   auth.Via   `json:"via"`
	// May lists what the caller can do: "read", "sync", "manage", "administer".
	May []string `json:"may" doc:"read, sync, manage, administer"`
}

// User is an account.
type User struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Role        auth.Role `json:"role" enum:"developer,robot,admin"`
	Disabled    bool      `json:"disabled"`
	HasPassword bool      `json:"has_password"`
	CreatedAt   time.Time `json:"created_at"`
	Version     int64     `json:"version" doc:"Grows with every edit; also the ETag"`
}

// NewUser makes an account.
type NewUser struct {
	Name     string `json:"name" minLength:"1" maxLength:"100"`
	Role     string `json:"role" enum:"developer,robot,admin"`
	Password string `json:"password,omitempty" maxLength:"1024" writeOnly:"true" doc:"Absent for robots"`
}

// EditUser changes what is present.
type EditUser struct {
	Role     *string `json:"role,omitempty" enum:"developer,robot,admin"`
	Disabled *bool   `json:"disabled,omitempty"`
	Password *string `json:"password,omitempty" minLength:"1" maxLength:"1024" writeOnly:"true"`
	// CurrentPassword is needed to change one's own.
	CurrentPassword string `json:"current_password,omitempty" maxLength:"1024" writeOnly:"true" doc:"Needed to change one's own password"`
}

// Key is an SSH public key.
type Key struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"`
	PublicKey   string    `json:"public_key"`
	CreatedAt   time.Time `json:"created_at"`
	LastUsedAt  time.Time `json:"last_used_at,omitzero"`
	Version     string    `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// NewKey adds one.
type NewKey struct {
	Name      string `json:"name,omitempty" maxLength:"400" doc:"Default: the comment of the key"`
	PublicKey string `json:"public_key" minLength:"1" maxLength:"20000" doc:"Content of a .pub file"`
}

// Token is an API token without its secret.
type Token struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scope      auth.Scope `json:"scope" enum:"read,write,admin"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at,omitzero" doc:"Absent = never"`
	LastUsedAt time.Time  `json:"last_used_at,omitzero"`
	Version    string     `json:"version,omitempty" readOnly:"true" doc:"Another one after every edit; in quotes it is the ETag"`
}

// NewToken makes one.
type NewToken struct {
	Name     string `json:"name" minLength:"1" maxLength:"400"`
	Scope    string `json:"scope,omitempty" enum:"read,write,admin" default:"read"`
	ExpiresS int64  `json:"expires_s,omitempty" minimum:"0" maximum:"315360000" doc:"Seconds from now; 0 = never"`
}

// CreatedToken is a new token with its secret, which is shown this once.
type CreatedToken struct {
	Token
	Secret string `json:"secret" doc:"Shown this once"`
}

// ResolveModules asks for replacements.
type ResolveModules struct {
	Modules []mirror.ModuleQuery `json:"modules" minItems:"1" maxItems:"5000"`
	Graph   bool                 `json:"graph,omitempty" doc:"Answer also what modules from before graph pruning (go < 1.17) require"`
}

// ResolvedModules answers in the same order.
type ResolvedModules struct {
	Answers []mirror.ModuleAnswer `json:"answers"`
}

// LocateModules asks in which repositories import paths live.
type LocateModules struct {
	Modules []string `json:"modules" minItems:"1" maxItems:"5000" doc:"Import or module paths"`
}

// LocatedModules answers in the same order.
type LocatedModules struct {
	Items []LocatedModule `json:"items"`
}

// LocatedModule says what to mirror for an import path.
type LocatedModule struct {
	Module   string          `json:"module"`
	Path     mirror.Path     `json:"path,omitempty" doc:"Of the repository, to give to POST /mirrors"`
	Upstream string          `json:"upstream,omitempty"`
	Mirrored bool            `json:"mirrored"`
	Error    *mirror.Problem `json:"error,omitempty"`
}

// Site is where this server is and how replacement paths are written for it.
type Site struct {
	URL     string      `json:"url"`
	SSH     string      `json:"ssh,omitempty" doc:"ssh://git@host:port; absent when SSH is off"`
	Host    string      `json:"host" doc:"First element of replacement module paths"`
	Form    mirror.Form `json:"form" enum:"discovery,dotgit"`
	Version string      `json:"version"`
}

// Status sums the server up.
type Status struct {
	Version   string                `json:"version"`
	Mirrors   int                   `json:"mirrors"`
	ByState   map[mirror.Status]int `json:"by_state"`
	Running   int                   `json:"running" doc:"Syncs that run in this process"`
	QueueSeen time.Time             `json:"queue_seen_at,omitzero" doc:"When the syncer last looked at its queue"`
}
