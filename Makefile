BENCH ?= .

.PHONY: help quickstart test check check-all bench cost compare fleet fleet-plot integration screenshot soak cover fuzz mutate proof api

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

quickstart: ## shows what the client does, against a misbehaving server
	go run ./examples/quickstart

test: ## runs every claim
	go test ./...

check: ## runs what CI checks without servers or root, in some minutes; bash .ci/run NAME runs one check
	bash .ci/run quick

check-all: ## runs all that CI checks, in some 25 minutes; installs nginx, haproxy, Prometheus and Chromium if they are missing
	bash .ci/run

bench: ## measures what a call costs through each library, six times in turn, by benchstat; takes some five minutes. BENCH=RoundTrip is less
	cd bench && for run in 1 2 3 4 5 6; do \
		go test -run '^$$' -bench '$(BENCH)' -benchtime 100ms . || exit 1; \
	done >cost.out && go tool -modfile=../tools/go.mod benchstat -table .name,/protocol,/call -row /library cost.out

cost: ## measures the same by processor time, ten rounds in turn, for a machine that others use too. ARGS='-bench Retry' is another benchmark
	cd bench && go run ./cost $(ARGS)

compare: ## shows what the peers do with the same misbehaving server
	cd bench && go run ./compare

fleet: ## shows what a fleet of clients does to a server in trouble; takes minutes. ARGS='-h' shows what can be set
	cd bench && go run ./fleet $(ARGS)

fleet-plot: ## draws the pictures of docs/fleet.md
	cd bench && go run ./fleet -plot ../docs $(ARGS)
	cd bench && go run ./fleet -plot ../docs -scenario brownout -sharing 2ms

integration: ## calls real servers, over bad networks, by the SDKs that people use; installs nginx, haproxy, Prometheus and Chromium if missing
	bash integration/run

screenshot: ## takes the picture of the debug page in docs/observability.md; needs chromium
	cd integration && go test -vet=off -run TestDebugPage_Screenshot . -screenshot ../docs/debugpage.png

DURATION ?= 10m
SEED ?= 0

soak: ## calls a server that misbehaves at random, for DURATION; SEED replays a run
	cd integration && go run -race ./soak -duration $(DURATION) -seed $(SEED)

cover: ## says how much of the root package its tests run, function by function
	go test -race -coverprofile=cover.out .
	go tool cover -func=cover.out

# A number of runs, since a time can end in a false "context deadline exceeded" with Go before 1.27: go.dev/issue/75804.
FUZZTIME ?= 50000x

fuzz: ## looks for inputs that nobody thought of, in every module. FUZZTIME=15000x is the number of runs of each target
	grep -ro --include='*_test.go' '^func Fuzz[A-Za-z]*' . | sed 's/:func / /' | while read -r file target; do \
		go test -C "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1000x . || exit 1; \
	done

MUTATED ?= classify.go attempt.go retry.go retryafter.go idempotency.go backoff.go breaker.go consecutive.go pace.go window.go budget.go

mutate: ## breaks the code in all small ways, and fails if no test notices; takes some twenty minutes. MUTATED=budget.go is less
	cd tools && go build -o ../mutate.out ./mutate
	./mutate.out -known tools/mutate/known.txt -slow "Model|Leak|Registry|NeverOpens|NaiveOne|AnyO" $(MUTATED)

proof: ## breaks the code for each claim of docs/proof.md, and sees its tests fail. ARGS=-check only looks whether all exists, ARGS='-check -fix' repairs keys
	cd tools && go build -o ../mutate.out ./mutate
	./mutate.out -claims tools/mutate/claims.txt -page docs/proof.md -known tools/mutate/known.txt $(ARGS)

api: ## writes down the public API, for review
	bash api/dump
