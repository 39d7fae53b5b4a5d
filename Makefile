# The two commands a new contributor needs are `go run . serve` and `make test`.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0
# SQLite is C turned into Go: under the race detector it is twenty times slower, and
# the races to be found are ours. lint runs vet.
RACE        = -race -gcflags='modernc.org/...=-race=false -d=checkptr=0'
# What takes longest begins first, so that both processors have work to the end.
PACKAGES    = . ./internal/faults ./gitserver ./web ./mirror ./...
# These prove what comes of a rewrite with hundreds of commands, where the race detector
# only costs time; what they start runs under it in the stories.
PROOFS      = ^TestSealed(Cases|Projects)$$
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build test faults storm rewrite-projects gateway-hashes gateway-flows lint bench bench-sync bench-serve bench-gateway clean test-deps

build: ## the binary, static, at ./bin/gitmirror
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/gitmirror .

test: test-deps ## everything, race detector on; installs PostgreSQL, Chromium and an OpenID provider when they are missing
	CGO_ENABLED=1 go test $(RACE) -vet=off -timeout 45m -skip '$(PROOFS)' $(PACKAGES)
	go test -vet=off -timeout 45m -run '$(PROOFS)' .

test-deps:
	@sh deploy/test-deps.sh

faults: test-deps ## every fault at every point and 250 random rounds; prints what survived, see docs/faults.md
	@report=$$(mktemp); GITMIRROR_FAULTS=full GITMIRROR_FAULTS_REPORT=$$report \
		go test -count=1 -timeout 60m ./internal/faults/; code=$$?; cat $$report; rm -f $$report; exit $$code

storm: test-deps ## 64 git clients at once, three repositories, one of them force-pushed and repacked all the while
	GITMIRROR_STORM=full go test -count=1 -timeout 30m -run '^TestStorm$$' -v ./gitserver/

rewrite-projects: ## five real projects, users of Kubernetes and etcd among them, built through the mirror in each of the three modes
	GITMIRROR_PROJECTS=all go test -count=1 -timeout 60m -run '^TestSealedProjects$$' -v .

gateway-hashes: ## all module versions of modproxy/testdata/hashes.txt made of git, compared with the checksum database's hashes
	GITMIRROR_HASHES=all go test -count=1 -timeout 60m -run '^TestHashes$$' -v ./modproxy

gateway-flows: ## the 72 flows of docs/modules-flows.md, with the module proxies of the environment behind ours; needs curl and jq
	GITMIRROR_FLOWS=all go test -count=1 -timeout 60m -run '^TestFlowScript$$' -v ./modproxy

lint: ## gofmt, vet, staticcheck, and govulncheck where its database can be had
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt -w on the files above"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@sh deploy/vulncheck.sh "$(GOVULNCHECK)"

bench: ## ratios against peers, in one interleaved run; see bench/README.md
	go test -run '^$$' -bench . -skip 'ServingTable|GatewayTable' -benchtime 2s ./bench/...
	go test -run '^$$' -bench '^BenchmarkPages$$' -benchtime 1x ./web

bench-sync: ## the sync engine: checks, syncs and clones beside git's, and 10,000 mirrors for BENCH_MINUTES=2
	go test -timeout 30m -run '^$$' -bench 'SyncNothingNew|SyncOneCommit|FirstClone' -benchtime 20x -count 1 ./bench/...
	go test -timeout 60m -run '^$$' -bench 'SyncTenThousand|SyncThousandChanged' -benchtime 1x -count 1 ./bench/...

bench-serve: ## the table of docs/serving-bench.md: clones, fetches and listings beside nginx and OpenSSH, BENCH_ROUNDS=5
	@sh deploy/bench-deps.sh
	@table=$$(mktemp); GITMIRROR_BENCH_TABLE=$$table go test -timeout 60m -run '^$$' -bench '^BenchmarkServingTable$$' -benchtime 1x -count 1 ./bench; \
		code=$$?; cat $$table; rm -f $$table; exit $$code

bench-gateway: ## the table of docs/modules-bench.md: modules beside nginx and beside no module proxy between, BENCH_ROUNDS=5
	@sh deploy/bench-deps.sh
	@table=$$(mktemp); GITMIRROR_BENCH_TABLE=$$table go test -timeout 60m -run '^$$' -bench '^BenchmarkGatewayTable$$' -benchtime 1x -count 1 ./bench; \
		code=$$?; cat $$table; rm -f $$table; exit $$code

clean:
	rm -rf bin
