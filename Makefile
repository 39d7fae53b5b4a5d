# The two commands a new contributor needs are `go run . serve` and `make test`.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build test faults lint bench bench-sync clean test-deps

build: ## the binary, static, at ./bin/gitmirror
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/gitmirror .

test: test-deps ## everything, race detector on; installs PostgreSQL and Chromium when they are missing
	CGO_ENABLED=1 go test -race -timeout 25m ./...

test-deps:
	@sh deploy/test-deps.sh

faults: test-deps ## every fault at every point and 250 random rounds; prints what survived, see docs/faults.md
	@report=$$(mktemp); GITMIRROR_FAULTS=full GITMIRROR_FAULTS_REPORT=$$report \
		go test -count=1 -timeout 60m ./internal/faults/; code=$$?; cat $$report; rm -f $$report; exit $$code

lint: ## gofmt, vet, staticcheck, and govulncheck where its database can be had
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt -w on the files above"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@sh deploy/vulncheck.sh "$(GOVULNCHECK)"

bench: ## ratios against peers, in one interleaved run; see bench/README.md
	go test -run '^$$' -bench . -benchtime 2s ./bench/...

bench-sync: ## the sync engine: checks, syncs and clones beside git's, and 10,000 mirrors for BENCH_MINUTES=2
	go test -timeout 30m -run '^$$' -bench 'SyncNothingNew|SyncOneCommit|FirstClone' -benchtime 20x -count 1 ./bench/...
	go test -timeout 60m -run '^$$' -bench 'SyncTenThousand|SyncThousandChanged' -benchtime 1x -count 1 ./bench/...

clean:
	rm -rf bin
