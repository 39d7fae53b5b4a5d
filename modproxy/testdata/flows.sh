#!/bin/bash
# flows.sh GOPROXY_URL [label]
#   Client conformance flows for a Go module proxy. Every flow starts from an empty GOMODCACHE and uses ONLY the given
#   proxy (no ",direct"), so a pass means the proxy itself answered.
# Optional environment:
#   GITMOD    git-backed module with the torture tags (torture/mk.sh), default example.com/torture.git
#   PUBHASH   a commit of github.com/spf13/cobra, when that is git-backed, too
#   GITMOD2   git-backed module without go.mod, default example.com/incompat.git
#   ORACLE    oracle.tsv written by torture/oracle.sh (what cmd/go answers directly) - compared row by row
#   PREFIX_PX same proxy under a path prefix; AUTH_PX https://user:pass@... ; CA file that signs AUTH_PX; NETRC_PX https URL without credentials + NETRC file
#   FLOWS_GOSUMDB  GOSUMDB for the clients (default sum.golang.org = through the proxy)
#   N         concurrent cold clients (default 32);  PUB_LATEST=0 when the proxy's upstream is known not to serve @latest
# Output: TSV  id  PASS|FAIL|SKIP  seconds  note
PX=${1:?usage: flows.sh GOPROXY_URL [label]}; LABEL=${2:-proxy}
GITMOD=${GITMOD-example.com/torture.git}; GITMOD2=${GITMOD2-example.com/incompat.git}; N=${N:-32}; TMO=${TMO:-180}
W=$(mktemp -d); trap 'chmod -R u+w $W 2>/dev/null; rm -rf $W' EXIT
base_env() { export GOPROXY=$PX GONOSUMDB=example.com GONOPROXY= GOPRIVATE= GOSUMDB="${FLOWS_GOSUMDB:-sum.golang.org}" GOFLAGS= GOENV=off GOTOOLCHAIN=local GOVCS='*:off' GOWORK=off GO111MODULE=on CGO_ENABLED=0 GOCACHE=${FLOWS_GOCACHE:-$W/gocache}; }
fresh() { base_env; D=$(mktemp -d -p $W); export GOMODCACHE=$D/mc GOPATH=$D/gp HOME=$D; mkdir -p $D/p; cd $D/p; printf 'module example.com/client\n\ngo 1.24\n' > go.mod; }
red() { sed -E 's#(https?://)[^/@ ]*@#\1USER@#g' | tr '\n\t' '  ' | cut -c1-260; }
run() { # id description cmd...
  local id=$1; shift; [ -n "$ONLY" ] && [[ ! $id =~ $ONLY ]] && return
  fresh; local s=$(date +%s.%N); NOTE=
  if "$@" > $D/log 2>&1; then R=PASS; else R=FAIL; [ $? = 77 ] && R=SKIP; fi
  [ -f $D/skip ] && R=SKIP
  [ -f $D/note ] && NOTE=$(cat $D/note)
  [ $R = FAIL ] && NOTE="$NOTE $(grep -v downloading $D/log | tail -3 | red)"
  printf '%s\t%s\t%s\t%s\t%s\n' "$LABEL" "$id" $R $(awk "BEGIN{printf \"%.1f\",$(date +%s.%N)-$s}") "$NOTE"
  chmod -R u+w $D/mc 2>/dev/null; rm -rf $D
}
g() { timeout $TMO go "$@"; }
skip() { touch $D/skip; echo "$*" > $D/note; }
code() { curl -s -m $TMO -o ${3:-/dev/null} -w '%{http_code}' ${2:+-H "$2"} "$PX/$1"; }
want() { [ "$1" = "$2" ] || { echo "want $2 got $1 ($3)"; return 1; }; }
note() { echo "$*" > $D/note; }
ver() { g list -m -f '{{.Version}}' "$1"; }

# --- version queries, public (upstream-backed) ---
q_list()      { g list -m -versions github.com/spf13/cobra | grep -q 'v1.8.0'; }
q_list_raw()  { c=$(code github.com/spf13/cobra/@v/list '' $D/o); want $c 200 && grep -qx v1.8.0 $D/o; }
q_latest()    { g get github.com/spf13/pflag@latest && grep -q 'spf13/pflag v1' go.mod; }
q_latest_ep() { c=$(code github.com/spf13/cobra/@latest '' $D/o); note "HTTP $c"; want $c 200 && jq -e .Version $D/o; }
q_prefix()    { [ "$(ver github.com/spf13/cobra@v1.7)" = v1.7.0 ]; }
q_lt()        { [ "$(ver 'github.com/spf13/cobra@<v1.5')" = x ] || [ "$(ver 'github.com/spf13/cobra@<v1.5.0')" = v1.4.0 ]; }
q_gt()        { [ "$(ver 'github.com/spf13/cobra@>v1.4.0')" = v1.5.0 ]; }
q_upgrade()   { g get github.com/pkg/errors@v0.8.0 && g get github.com/pkg/errors@patch && grep -q 'errors v0.8.1' go.mod && g get github.com/pkg/errors@upgrade && grep -q 'errors v0.9.1' go.mod && g get github.com/pkg/errors@none && ! grep -q pkg/errors go.mod; }
q_pseudo()    { [ "$(ver golang.org/x/exp@v0.0.0-20240719175910-8a7402abbf56)" = v0.0.0-20240719175910-8a7402abbf56 ] && g mod download golang.org/x/exp@v0.0.0-20240719175910-8a7402abbf56; }
q_notags()    { v=$(ver golang.org/x/exp@latest) && note $v && [[ $v == v0.0.0-* ]]; }
q_pub_branch(){ v=$(ver github.com/spf13/cobra@main) && note $v && [[ $v == v1* ]]; }
q_pub_commit(){ v=$(ver github.com/spf13/cobra@${PUBHASH:-a0a6ae020bb3}) && note $v; }
q_upper()     { g mod download -json github.com/BurntSushi/toml@v1.4.0 | jq -e '.Sum=="h1:kuoIxZQy2WRRk1pttg9asf+WVv6tWQuBNVmK8+nqPr0="'; }
q_incompat()  { g mod download -json github.com/russross/blackfriday@v2.0.0+incompatible | jq -e '.Sum=="h1:cBXrhZNUf9C+La9/YpS+UHpUT8YD6Td9ZMSU9APFcsk="'; }
q_gopkg()     { g mod download -json gopkg.in/yaml.v3@v3.0.1 | jq -e '.Sum=="h1:fxVm/GzAzEWqLHuvctI91KS9hhNmmWOoWu0XTYJS7CA="'; }
q_major()     { g mod download -json github.com/cpuguy83/go-md2man/v2@v2.0.4 | jq -e '.Sum|startswith("h1:")'; }
q_subpkg()    { g get github.com/spf13/cobra/doc@v1.8.0 && grep -q 'spf13/cobra v1.8.0' go.mod; }
q_u_json()    { g get github.com/pkg/errors@v0.8.0 golang.org/x/text@v0.3.7 && g list -m -u -json all | jq -es '[.[]|select(.Update)]|length>=2' && g list -m -u -retracted -json golang.org/x/text; }
q_retract()   { g list -m -versions -retracted -json google.golang.org/grpc/cmd/protoc-gen-go-grpc >/dev/null; g list -m -versions github.com/prometheus/client_golang | grep -qv ' v1.12.0 ' ; g list -m -retracted -versions github.com/prometheus/client_golang; }
# --- project flows ---
p_tidy()      { printf 'package main\nimport (\n_ "github.com/spf13/viper"\n_ "go.uber.org/zap"\n_ "gopkg.in/yaml.v3"\n)\nfunc main(){}\n' > m.go; g get github.com/spf13/viper@v1.19.0 go.uber.org/zap@v1.27.0 gopkg.in/yaml.v3@v3.0.1 && g mod tidy && g mod verify && g mod vendor && [ $(wc -l < go.sum) -gt 60 ]; }
p_tidy_noversions() { printf 'package main\nimport (\n_ "github.com/pkg/errors"\n_ "github.com/google/uuid"\n)\nfunc main(){}\n' > m.go; g mod tidy && grep -q google/uuid go.mod; }
p_modmod()    { printf 'package main\nimport "github.com/google/uuid"\nfunc main(){ println(uuid.Nil.String()) }\n' > m.go; printf 'module example.com/client\n\ngo 1.24\n\nrequire github.com/google/uuid v1.6.0\n' > go.mod; GOFLAGS=-mod=mod g build -o $D/x . && $D/x; }
p_nosumdb()   { GONOSUMDB='*' g mod download -json github.com/google/uuid@v1.6.0 | jq -e .Sum && [ ! -d $GOMODCACHE/cache/download/sumdb ]; }
p_install()   { GOBIN=$D/bin g install github.com/cpuguy83/go-md2man/v2@v2.0.4 && [ -x $D/bin/go-md2man ]; }
p_replace()   { printf 'module example.com/client\n\ngo 1.24\n\nrequire github.com/pkg/errors v0.8.0\nreplace github.com/pkg/errors => github.com/pkg/errors v0.9.1\n' > go.mod; printf 'package main\nimport _ "github.com/pkg/errors"\nfunc main(){}\n' > m.go; g mod tidy && g list -m -f '{{.Replace.Version}}' github.com/pkg/errors | grep -qx v0.9.1; }
p_getu()      { printf 'package main\nimport _ "github.com/pkg/errors"\nfunc main(){}\n' > m.go; g get github.com/pkg/errors@v0.8.0 && g get -u ./... && grep -q v0.9.1 go.mod; }
p_work()      { mkdir a; (cd a; printf 'module example.com/a\n\ngo 1.24\n\nrequire github.com/pkg/errors v0.9.1\n' > go.mod); GOWORK= g work init . ./a && GOWORK=$PWD/go.work g work sync; }
# --- sumdb ---
s_supported() { c=$(code sumdb/sum.golang.org/supported); want $c 200; }
s_lookup()    { c=$(code sumdb/sum.golang.org/lookup/github.com/google/uuid@v1.6.0 '' $D/o); note "HTTP $c"; want $c 200 && grep -q 'uuid v1.6.0 h1:' $D/o; }
s_tile()      { c=$(code sumdb/sum.golang.org/tile/8/1/000 '' $D/o); note "HTTP $c $(stat -c %s $D/o 2>/dev/null)B"; want $c 200; }
s_verify()    { g mod download -json github.com/google/uuid@v1.6.0 | jq -e .Sum && ls $GOMODCACHE/cache/download/sumdb/sum.golang.org/tile >/dev/null; }
s_private()   { [ -n "$GITMOD" ] || { skip; return; }; c=$(code sumdb/sum.golang.org/lookup/$GITMOD@v1.0.0); note "HTTP $c for a private path (must not leak upstream: want 403/404/410)"; [[ $c =~ ^(403|404|410)$ ]]; }
# --- toolchain ---
t_switch()    { GOTOOLCHAIN=go1.24.1 g version | grep -q go1.24.1; }
t_list()      { g list -m -versions golang.org/toolchain | grep -q linux-amd64; }
t_goget()     { g list -m -f '{{.Version}}' 'toolchain@go1.24.1'; }
# --- protocol details ---
h_404()       { c=$(code github.com/nonexistent-xyz/nothing/@v/v1.0.0.info '' $D/o); note "HTTP $c $(head -c 80 $D/o | red)"; [[ $c =~ ^(404|410)$ ]]; }
h_404list()   { c=$(code github.com/nonexistent-xyz/nothing/@v/list '' $D/o); note "HTTP $c"; [[ $c =~ ^(404|410)$ ]]; }
h_404sub()    { c=$(code github.com/spf13/cobra/doc/@v/list '' $D/o); note "HTTP $c"; [[ $c =~ ^(404|410)$ ]]; }
h_badver()    { c=$(code github.com/spf13/cobra/@v/v1.zip); note "HTTP $c for non-canonical .zip"; [[ $c =~ ^(400|404|410)$ ]]; }
h_badesc()    { c=$(code 'github.com/BurntSushi/toml/@v/v1.4.0.info'); note "HTTP $c for unescaped upper case"; [[ $c =~ ^(400|404|410)$ ]]; }
h_traverse()  { c=$(curl -s --path-as-is -o $D/o -w '%{http_code}' "$PX/../../etc/passwd/@v/list"); c2=$(curl -s --path-as-is -o $D/o2 -w '%{http_code}' "$PX/%2e%2e/%2e%2e/etc/@v/v1.0.0.mod"); note "HTTP $c $c2"; [[ $c =~ ^[34] && $c2 =~ ^[34] ]]; }
h_post()      { c=$(curl -s -X POST -o /dev/null -w '%{http_code}' "$PX/github.com/spf13/cobra/@v/list"); note "HTTP $c"; [[ $c =~ ^(405|404|501)$ ]]; }
h_head()      { code github.com/google/uuid/@v/v1.6.0.zip >/dev/null; c=$(curl -sI -o $D/o -w '%{http_code}' "$PX/github.com/google/uuid/@v/v1.6.0.zip"); note "HTTP $c $(grep -i '^content-length' $D/o | red)"; want $c 200 && grep -qi '^content-length: [1-9]' $D/o; }
h_range()     { code github.com/google/uuid/@v/v1.6.0.zip >/dev/null; c=$(code github.com/google/uuid/@v/v1.6.0.zip 'Range: bytes=0-99' $D/o); note "HTTP $c $(stat -c %s $D/o)B"; want $c 206; }
h_cond()      { h=$(curl -sI "$PX/github.com/google/uuid/@v/v1.6.0.zip"); e=$(echo "$h" | grep -i '^etag:' | cut -d' ' -f2- | tr -d '\r'); l=$(echo "$h" | grep -i '^last-modified:' | cut -d' ' -f2- | tr -d '\r'); note "etag=$e last-modified=$l"; if [ -n "$e" ]; then c=$(code github.com/google/uuid/@v/v1.6.0.zip "If-None-Match: $e"); else c=$(code github.com/google/uuid/@v/v1.6.0.zip "If-Modified-Since: $l"); fi; want $c 304; }
h_cachectl()  { a=$(curl -s -o /dev/null -D - "$PX/github.com/google/uuid/@v/v1.6.0.zip" | grep -i '^cache-control' | red); b=$(curl -s -o /dev/null -D - "$PX/github.com/google/uuid/@v/list" | grep -i '^cache-control' | red); note "zip[$a] list[$b]"; [ -n "$a" ] && [ -n "$b" ]; }
h_ctype()     { a=$(for e in info mod zip; do curl -s -o /dev/null -D - "$PX/github.com/google/uuid/@v/v1.6.0.$e" | grep -i '^content-type' | cut -d' ' -f2- | tr -d '\r\n'; echo -n ' | '; done; curl -s -o /dev/null -D - "$PX/github.com/google/uuid/@v/list" | grep -i '^content-type' | cut -d' ' -f2- | tr -d '\r\n'); note "$a"; [[ "$a" == *json*text/plain*zip*text/plain* ]]; }
h_nofetch()   { c=$(code rsc.io/sampler/@v/v1.99.98.info 'Disable-Module-Fetch: true'); c2=$(code rsc.io/pdf/@v/v0.1.1.zip 'Disable-Module-Fetch: true'); note "never-cached .zip with Disable-Module-Fetch: HTTP $c2"; [[ $c2 =~ ^(404|410)$ ]]; }
h_errtext()   { g mod download github.com/nonexistent-xyz/nothing@v1.0.0; note "$(tail -2 $D/log | red)"; grep -q 'server response' $D/log; }
h_fallback()  { mkdir -p $D/fb/example.org/fb/@v; echo v1.0.0 > $D/fb/example.org/fb/@v/list; echo '{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}' > $D/fb/example.org/fb/@v/v1.0.0.info; echo 'module example.org/fb' > $D/fb/example.org/fb/@v/v1.0.0.mod; GONOSUMDB='*' GOPROXY="$PX,file://$D/fb" g list -m example.org/fb@v1.0.0; }
# --- git-backed (private) modules ---
gm()          { [ -n "$GITMOD" ] || { skip; return 1; }; }
v_latest()    { gm || return 0; v=$(ver $GITMOD@latest) && note $v && [ "$v" = v1.8.0 ]; }
v_branch()    { gm || return 0; v=$(ver $GITMOD@main) && note $v && [[ $v == v1.9.0-rc.1.0.20240112033456-* ]]; }
v_branch2()   { gm || return 0; v=$(ver $GITMOD@release-1.9) && note $v && [ "$v" = v1.9.0-rc.1 ]; }
v_commit()    { gm || return 0; h=${GITHASH:?}; v=$(ver $GITMOD@$h) && v2=$(ver $GITMOD@${h:0:8}) && note "$v $v2" && [ "$v" = "$v2" ]; }
v_meta()      { gm || return 0; v=$(ver $GITMOD@v1.7.0+meta) && note $v && [[ $v == v1.7.1-0.* ]]; }
v_v1()        { gm || return 0; [ "$(ver $GITMOD@v1)" = v1.8.0 ] && [ "$(ver $GITMOD@v1.1)" = v1.1.0 ]; }
v_lt()        { gm || return 0; [ "$(ver "$GITMOD@<v1.6.0")" = v1.1.0 ]; }
v_retracted() { gm || return 0; g list -m -versions $GITMOD | grep -qv 'v1.2.0' && g list -m -versions -retracted $GITMOD | grep -q 'v1.2.0' && g get $GITMOD@v1.2.0; g list -m -u -f '{{.Retracted}}' $GITMOD@v1.2.0 | note "$(cat)"; true; }
v_origin()    { gm || return 0; o=$(g list -m -json $GITMOD@main | jq -c .Origin); note "$o"; echo "$o" | jq -e '.Hash and .VCS'; }
v_lic()       { gm || return 0; g mod download -json $GITMOD/licsub@v1.0.0 | jq -e '.Sum=="h1:QogQlV5hMCEX5WQNznZfYfqlUIv5LmP6aqrUYikfMCg="'; }
v_v2()        { gm || return 0; [ "$(ver $GITMOD/v2@latest)" = v2.0.0 ] && [ "$(ver $GITMOD/v3@latest)" = v3.0.0 ]; }
v_incompat()  { [ -n "$GITMOD2" ] || { skip; return 0; }; v=$(ver $GITMOD2@latest); note $v; [ "$v" = v6.0.0+incompatible ]; }
v_badzip()    { gm || return 0; g mod download $GITMOD@v1.3.0; note "$(tail -1 $D/log | red)"; grep -q 'collision' $D/log; }
v_badpseudo() { gm || return 0; c=$(code $GITMOD/@v/v1.9.1-0.20240112033456-${GITHASH:0:12}.info); note "HTTP $c"; [[ $c =~ ^(404|410)$ ]]; }
v_oracle()    { gm || return 0; [ -f "$ORACLE" ] || { skip; return 0; }; n=0; bad=0; : > $D/bad
  while IFS=$'\x1f' read -r q v t h gsum e; do case $q in LIST*) continue;; esac; n=$((n+1)); o=$(timeout $TMO go mod download -json "$q" 2>$D/e); v2=$(echo "$o" | jq -r '.Version // ""' 2>/dev/null); h2=$(echo "$o" | jq -r '.Sum // ""' 2>/dev/null); g2=$(echo "$o" | jq -r '.GoModSum // ""' 2>/dev/null); er=$(echo "$o" | jq -r '.Error // ""' 2>/dev/null)
    if [ -n "$h" ]; then [ "$v|$h|$gsum" = "$v2|$h2|$g2" ] || { bad=$((bad+1)); echo "$q want $v $h got $v2 $h2 $(echo $er $(cat $D/e) | tail -c 160)" >> $D/bad; }; else [ -z "$h2" ] || { bad=$((bad+1)); echo "$q want error got $v2 $h2" >> $D/bad; }; fi
  done < <(tr '\t' '\037' < $ORACLE)
  note "$((n-bad))/$n equal to cmd/go; first differences: $(head -3 $D/bad | tr '\n' ';' | red)"; [ -n "$KEEP_BAD" ] && cp $D/bad $KEEP_BAD; [ $bad = 0 ]; }
# --- deployment ---
d_prefix()    { [ -n "$PREFIX_PX" ] || { skip no PREFIX_PX; return 0; }; [ -n "$CA" ] && export SSL_CERT_FILE=$CA; GOPROXY=$PREFIX_PX g mod download -json github.com/google/uuid@v1.6.0 | jq -e .Sum; }
d_auth()      { [ -n "$AUTH_PX" ] || { skip no AUTH_PX; return 0; }; SSL_CERT_FILE=$CA GOPROXY=$AUTH_PX g mod download -json github.com/google/uuid@v1.6.0 | jq -e .Sum; }
d_authbad()   { [ -n "$NETRC_PX" ] || { skip no NETRC_PX; return 0; }; NETRC=/dev/null SSL_CERT_FILE=$CA GOPROXY=$NETRC_PX g mod download github.com/google/uuid@v1.6.0; note "$(tail -1 $D/log | red)"; grep -qE '401|403' $D/log; }
d_netrc()     { [ -n "$NETRC_PX" ] || { skip no NETRC_PX; return 0; }; SSL_CERT_FILE=$CA NETRC=$NETRC GOPROXY=$NETRC_PX g mod download -json github.com/google/uuid@v1.6.0 | jq -e .Sum; }
d_health()    { for p in healthz readyz livez metrics version; do echo -n "$p=$(code $p) "; done > $D/note; grep -q 'healthz=20' $D/note; }
# --- concurrency ---
c_cold()      { # N clients, cold proxy for this module, separate module caches
  local mod=${COLD_MOD:-github.com/prometheus/client_golang@v1.20.5}; : > $D/sums
  for i in $(seq $N); do ( export GOMODCACHE=$D/mc$i GOPATH=$D/gp$i; timeout $TMO go mod download -json $mod 2>/dev/null | jq -r '.Sum // ("ERR "+(.Error//"?"))' >> $D/sums ) & done; wait
  ok=$(grep -c '^h1:' $D/sums); u=$(sort -u $D/sums | wc -l); note "$ok/$N ok, $u distinct answers $(grep -v '^h1:' $D/sums | sort | uniq -c | sort -rn | head -2 | red)"; chmod -R u+w $D/mc*; rm -rf $D/mc* $D/gp*; [ $ok = $N ] && [ $u = 1 ]; }
c_hol()       { # head-of-line: cached .info latency while 40 slow cold misses are in flight
  code github.com/google/uuid/@v/v1.6.0.info >/dev/null
  for i in $(seq 40); do curl -s -m 60 -o /dev/null "$PX/github.com/nonexistent-hol-$i/x/@v/v1.0.$i.info" & done; sleep 0.3
  t=$(for k in 1 2 3 4 5 6 7 8 9; do curl -s -m 60 -o /dev/null -w '%{time_total}\n' "$PX/github.com/google/uuid/@v/v1.6.0.info"; done | sort -n | tail -1); wait; note "worst cached .info during 40 misses: ${t}s"; awk "BEGIN{exit !($t<0.5)}"; }

for f in q_list q_list_raw q_latest q_latest_ep q_prefix q_lt q_gt q_upgrade q_pseudo q_notags q_pub_branch q_pub_commit q_upper q_incompat q_gopkg q_major q_subpkg q_u_json q_retract \
  p_tidy p_tidy_noversions p_modmod p_nosumdb p_install p_replace p_getu p_work s_supported s_lookup s_tile s_verify s_private t_list t_goget t_switch \
  h_404 h_404list h_404sub h_badver h_badesc h_traverse h_post h_head h_range h_cond h_cachectl h_ctype h_nofetch h_errtext h_fallback \
  v_latest v_branch v_branch2 v_commit v_meta v_v1 v_lt v_retracted v_origin v_lic v_v2 v_incompat v_badzip v_badpseudo v_oracle d_prefix d_auth d_authbad d_netrc d_health c_hol c_cold; do run $f $f; done
