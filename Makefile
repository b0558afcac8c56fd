.PHONY: quickstart test check bench compare fleet cover fuzz

quickstart: ## shows what the client does, against a misbehaving server
	go run ./examples/quickstart

test: ## runs every claim
	go test ./...

check: ## runs all that CI runs
	bash .ci/run

bench: ## what a success costs, beside the peers
	cd bench && go test -run '^$$' -bench . .

compare: ## what the peers do with the same misbehaving server
	cd bench && go run ./compare

fleet: ## what a fleet of clients does to a server in trouble, all libraries; takes some five minutes
	cd bench && go test ./fleet -run TestTable -v -timeout 20m -args -table

cover:
	go test -race -coverprofile=cover.out .
	go tool cover -func=cover.out

fuzz:
	go test -run '^$$' -fuzz FuzzRetryAfter -fuzztime 1m .
